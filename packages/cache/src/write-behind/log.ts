// What write-behind asks of the place where writes are kept until the source has them.
import type { StoreCallOptions } from "@holdfast/core";

export type { StoreCallOptions };

/** What a log can do. */
export interface WriteLogTraits {
  /** Whether several processes may use it at a time. */
  readonly shared: boolean;
  /** Whose time delays and leases go by. Of a shared log always the server's. */
  readonly clock: "caller" | "server";
  /** What an acknowledged write outlives: nothing, the end of the process, the end of the client. */
  readonly durability: "none" | "disk" | "server";
}

/** A write to be kept. Key and value are well-formed Unicode without U+0000. */
export interface AppendRequest {
  readonly key: string;
  readonly value: string;
  /** How long a key that has no write in the log waits for more of them, in milliseconds. Integer. */
  readonly delayMs: number;
  /** Most keys in the log, dead letters included. A key that is there already is always taken. */
  readonly maxKeys: number;
}

export type AppendOutcome =
  /** It is kept as durably as the log can. Versions of a log rise. */
  | { readonly kind: "appended"; readonly version: number }
  /** Nothing was kept. */
  | { readonly kind: "full"; readonly keys: number };

export interface ClaimRequest {
  /** Most keys. Integer from 1. */
  readonly limit: number;
  /** After which, unless it is renewed, somebody else may claim the key. Integer. */
  readonly leaseMs: number;
  /** Also keys whose delay is not over; never those that wait after a failure. */
  readonly early: boolean;
}

/** A key that this caller alone is to write, until its lease runs out. */
export interface Claim {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  /** Rises with every claim of a key, whoever makes it. */
  readonly fence: number;
  /** How often this version was claimed, this time included. From 1. */
  readonly attempt: number;
}

export interface Claimed {
  /** Each key once: that which is due longest comes first. */
  readonly claims: readonly Claim[];
  /** How long until the next key is due or its lease runs out, in milliseconds; absent when there is none. */
  readonly nextInMs?: number;
}

/** A claim, as whoever has it names it. */
export interface ClaimRef {
  readonly key: string;
  readonly fence: number;
}

/** What has become of a claim. */
export type Settlement = ClaimRef & {
  /** What was claimed. If the key has a newer one by now, that one stays pending in any case. */
  readonly version: number;
} & (
    | { readonly kind: "written" }
    /** It is due again after the delay, in milliseconds; an attempt that does not count is as if not made. */
    | { readonly kind: "failed"; readonly delayMs: number; readonly counts: boolean; readonly error: string }
    /** It is given up, and kept as a dead letter. */
    | { readonly kind: "dead"; readonly error: string }
    /** It was not tried: it is due at once, and this attempt does not count. */
    | { readonly kind: "released" }
  );

/** `lost`: the claim is not its caller's any more, and nothing was changed. */
export type SettleOutcome = "ok" | "lost";

/** A write that was given up. */
export interface DeadEntry {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  readonly attempts: number;
  /** Why the last attempt failed. */
  readonly error: string;
  /** Milliseconds since the epoch, by the log's clock. */
  readonly diedAtMs: number;
}

export interface WriteLogStats {
  /** Keys with a write that the source does not have yet. */
  readonly pending: number;
  readonly dead: number;
  /** No version of the log is higher. */
  readonly latest: number;
  /** The first version that the source may lack: all that was superseded counts as written with what superseded it. */
  readonly oldest?: number;
}

/**
 * Keeps, for each key, its newest write until it is in the source. Each verb is atomic and decides in the log, by the
 * log's clock. Check another with `writeLogConformance` of `@holdfast/cache/testing`.
 *
 * All verbs throw StoreUnavailableError when the log could not be asked, and ClosedError after {@link WriteLog.close}.
 */
export interface WriteLog {
  readonly traits: WriteLogTraits;
  /**
   * Keeps the write in place of any other of its key, a dead letter too. Attempts count anew; a wait after a failure goes
   * on, since it is the source that is spared.
   */
  append(request: AppendRequest, options?: StoreCallOptions): Promise<AppendOutcome>;
  /** The newest write of the key, unless the source has it or it was given up. */
  read(key: string, options?: StoreCallOptions): Promise<string | undefined>;
  /** Takes keys that are due, nobody else holds, and are no dead letters. */
  claim(request: ClaimRequest, options?: StoreCallOptions): Promise<Claimed>;
  /** Makes leases last `leaseMs` from now, also ones that have run out, if nobody has claimed their keys since. */
  renew(
    claims: readonly ClaimRef[],
    leaseMs: number,
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]>;
  /** Ends claims: each alone, in the order given, whose keys are all different. */
  settle(settlements: readonly Settlement[], options?: StoreCallOptions): Promise<readonly SettleOutcome[]>;
  stats(options?: StoreCallOptions): Promise<WriteLogStats>;
  /** Dead letters, those that died first first. Integers: `limit` from 1 to 1,000, `offset` from 0. */
  deadEntries(limit: number, offset: number, options?: StoreCallOptions): Promise<readonly DeadEntry[]>;
  /** Makes dead letters pending again, as if just written; all of them if no keys are named. @returns how many. */
  redrive(keys?: readonly string[], options?: StoreCallOptions): Promise<number>;
  /** Forgets dead letters. @returns how many. */
  discard(keys: readonly string[], options?: StoreCallOptions): Promise<number>;
  /** Ends it: later calls reject with ClosedError. A client stays open. */
  close(): Promise<void>;
}
