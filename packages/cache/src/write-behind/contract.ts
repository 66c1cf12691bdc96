// What write-behind can be told, what it does, and what it publishes.
import type { Backoff, Clock, Duration, Random } from "@holdfast/core";
import type { Cacheable, CacheKey, LoadContext } from "../contract.ts";
import type { WriteLog, WriteLogStats } from "./log.ts";

/** Values as texts, as the log keeps them. Whatever reads a log has to know what was written to it before. */
export interface WriteCodec<Value> {
  encode(value: Value): string;
  decode(text: string): Value;
}

/** What a write to the source is told. */
export interface WriteContext {
  /** Aborts when time is up, or when the claim is lost to another process. */
  readonly signal: AbortSignal;
  /**
   * Rises with every attempt to write a key, in whatever process. A process that was frozen may write long after another
   * has taken over: a source that keeps the highest fence of each key, and refuses what comes with a lower one, is safe.
   */
  readonly fence: number;
  /** How often this value was tried, this time included. From 1. */
  readonly attempt: number;
}

/** One write of a batch. */
export interface WriteEntry<Key extends CacheKey, Value extends Cacheable> {
  readonly key: Key;
  readonly value: Value;
  /** As in {@link WriteContext}. */
  readonly fence: number;
  readonly attempt: number;
}

/**
 * What a failure means. `retry`: it counts as an attempt, and another follows after the backoff. `wait`: it says nothing
 * about this write, since the source is down: another attempt follows all the same, and it does not count. `dead`: no
 * attempt will ever succeed.
 */
export type WriteVerdict = "retry" | "wait" | "dead";

export interface WriteBehindOptions<Key extends CacheKey, Value extends Cacheable> {
  /** For messages and events. @defaultValue "write-behind" */
  readonly name?: string;
  /** Where writes are kept until the source has them; of this write-behind alone. Stays open: it is its owner's. */
  readonly log: WriteLog;
  /**
   * Writes to the source. It may be called again for a value that is there already: after a crash, or when the log could
   * not be told. Either this or `writeMany`.
   */
  readonly write?: (key: Key, value: Value, context: WriteContext) => unknown;
  /**
   * Writes several keys at once. If it throws, all have failed; it may also answer with an Error, or `undefined` where
   * there is none, for each entry in order.
   */
  readonly writeMany?: (
    entries: readonly WriteEntry<Key, Value>[],
    context: Pick<WriteContext, "signal">,
  ) => unknown;
  /** Loads from the source, for keys without a pending write. @defaultValue there is nothing */
  readonly load?: (
    key: Key,
    context: LoadContext<Value>,
  ) => Value | undefined | PromiseLike<Value | undefined>;
  /** @defaultValue JSON, which refuses what it would lose: `undefined`, NaN, an infinity */
  readonly codec?: WriteCodec<Value>;
  /** How long a write waits for a newer one of its key, which then takes its place. @defaultValue "100ms" */
  readonly delay?: Duration;
  /** Most calls of `write` or `writeMany` at a time. 1 to 1,000. @defaultValue 8 */
  readonly concurrency?: number;
  /** Most entries in one call of `writeMany`. 1 to 1,000. @defaultValue 100 */
  readonly maxBatch?: number;
  /** How often a value is tried before it becomes a dead letter. 1 to 1,000. @defaultValue 20: with the default backoff about 3 minutes */
  readonly attempts?: number;
  /** The waits between attempts. @defaultValue exponential(): from 100 ms to 30 s, full jitter */
  readonly backoff?: Backoff;
  /** What a failure of the source means. @defaultValue "retry" */
  readonly judge?: (error: Error, attempt: number) => WriteVerdict;
  /**
   * How long one call of `write` or `writeMany` may take. Then its signal is aborted and it counts as failed; if it goes on
   * all the same, the next attempt has a higher fence. @defaultValue "30s"
   */
  readonly writeDeadline?: Duration;
  /** How long a claim outlives the process that has it. From 10 ms. @defaultValue "30s" */
  readonly lease?: Duration;
  /** How often a shared log is asked for what others have left behind. From 1 ms. @defaultValue "1s" */
  readonly pollInterval?: Duration;
  /** Most keys in the log, dead letters included. 1 to 10,000,000. @defaultValue 10_000 */
  readonly maxKeys?: number;
  /** What a write does when the log is full: `reject` at once, or wait for room so long. @defaultValue "reject" */
  readonly whenFull?: "reject" | { readonly wait: Duration };
  /** Most writes that wait for room at a time. 0 to 1,000,000. @defaultValue 1_000 */
  readonly maxWaiting?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** For the backoff. @defaultValue systemRandom */
  readonly random?: Random;
}

export interface WriteCallOptions {
  /** The caller leaves; the write may be kept all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** A write that was given up. */
export interface DeadLetter<Key extends CacheKey, Value extends Cacheable> {
  readonly key: Key;
  /** Absent when it cannot be decoded. */
  readonly value?: Value;
  readonly attempts: number;
  /** Why the last attempt failed: name and message. */
  readonly error: string;
  /** Milliseconds since the epoch, by the log's clock. */
  readonly diedAtMs: number;
}

/** Writes that were given up; each until a newer write of its key takes its place. */
export interface DeadLetters<Key extends CacheKey, Value extends Cacheable> {
  /** Those that died first come first. */
  list(options?: {
    /** 1 to 1,000. @defaultValue 100 */
    readonly limit?: number;
    /** How many to pass over. @defaultValue 0 */
    readonly offset?: number;
    readonly signal?: AbortSignal | undefined;
  }): Promise<readonly DeadLetter<Key, Value>[]>;
  /** Makes them pending again; all of them if no keys are named. @returns how many. */
  redrive(keys?: readonly Key[], options?: WriteCallOptions): Promise<number>;
  /** Forgets them. @returns how many. */
  discard(keys: readonly Key[], options?: WriteCallOptions): Promise<number>;
}

/** Writes that are acknowledged by a log and reach their source in the background. */
export interface WriteBehind<Key extends CacheKey, Value extends Cacheable> extends AsyncDisposable {
  readonly name: string;
  /**
   * Keeps the write in the log, and resolves when the log has acknowledged it. For `createCache({ write })`; needs no `this`.
   *
   * @throws WriteBehindFullError when the log is full; StoreUnavailableError when it could not be asked, whose outcome says
   * whether the write may have been kept; ClosedError; the signal's reason.
   */
  readonly write: (key: Key, value: Value, options?: WriteCallOptions) => Promise<void>;
  /**
   * The pending value of the key, whoever wrote it; if there is none, what `load` brings. For `createCache({ load })`; needs
   * no `this`.
   *
   * @throws what `load` fails with; StoreUnavailableError when the log could not be asked, since the source may be behind;
   * WriteUnreadableError.
   */
  readonly load: (key: Key, context: LoadContext<Value>) => Promise<Value | undefined>;
  readonly deadLetters: DeadLetters<Key, Value>;
  /**
   * Writes without delay, and resolves when all that was acknowledged before the call, by any process, is in the source or
   * among the dead letters.
   *
   * @throws StoreUnavailableError when the log could not be asked; ClosedError; the signal's reason.
   */
  flush(options?: WriteCallOptions): Promise<void>;
  /** How much is in the log. */
  stats(options?: WriteCallOptions): Promise<WriteLogStats>;
  snapshot(): WriteBehindSnapshot;
  /**
   * Takes no more writes, and flushes for so long at most; what is left stays in the log. Then it aborts the signals of
   * writes under way, and gives back what was not begun. Never rejects.
   *
   * @returns how many keys are pending; `undefined` when the log could not be asked.
   */
  close(options?: {
    /** @defaultValue "10s" */
    readonly within?: Duration;
  }): Promise<number | undefined>;
}

/** A write-behind's present state in this process; plain JSON. */
export interface WriteBehindSnapshot {
  readonly kind: "write-behind";
  readonly name: string;
  readonly state: "open" | "closing" | "closed";
  /** Keys that this process writes at the moment. */
  readonly writing: number;
  /** Writes that wait for room in the log. */
  readonly waiting: number;
  /** Writes that were acknowledged. */
  readonly accepted: number;
  /** Values that were written to the source. */
  readonly written: number;
  readonly failures: number;
  readonly deadLetters: number;
  /** Claims that another process has taken over. */
  readonly lost: number;
  readonly logFailures: number;
}

/** Published as `holdfast:cache:write_behind` when an attempt to write a key to the source has ended. The key is no part of it. */
export interface WriteBehindEvent {
  readonly writeBehind: string;
  /** `lost`: another process has taken it over. */
  readonly outcome: "written" | "retry" | "wait" | "dead" | "lost";
  /** From 1. */
  readonly attempt: number;
  readonly durationMs: number;
  readonly error?: Error;
}

/** Published as `holdfast:cache:write_log` when the log of a write-behind could not be asked. */
export interface WriteLogFailedEvent {
  readonly writeBehind: string;
  readonly doing: "append" | "read" | "claim" | "renew" | "settle";
  readonly error: Error;
}
