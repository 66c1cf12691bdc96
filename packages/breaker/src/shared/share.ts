// How a breaker shares its circuit: what can be set, what it shows, and what it publishes.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { CircuitStore } from "./store.ts";

/** Shares a breaker's circuit with all breakers of the same `key` on the same store: the fleet. */
export interface ShareOptions {
  /** Stays open when the breaker is closed: it is its owner's. */
  readonly store: CircuitStore;
  /** What all of the fleet call this circuit. 1 to 500 characters. @defaultValue the breaker's name */
  readonly key?: string;
  /** Instances whose breakers must trip within `voteWindow` to open it for the whole fleet. 1 to 1,000. @defaultValue 2 */
  readonly quorum?: number;
  /** How long a trip counts as a vote, also if its instance has closed again. From 1 ms. @defaultValue "30s" */
  readonly voteWindow?: Duration;
  /**
   * How long a call to the store may take, and so how long a call that wants to probe may have to wait for it. No other
   * call ever waits. From 1 ms. @defaultValue "250ms"
   */
  readonly timeout?: Duration;
  /** Who votes: unique to the process, or the pod. 1 to 200 characters. @defaultValue drawn by chance */
  readonly instance?: string;
}

/** The defaults of `share`. */
export const SHARE_DEFAULTS: {
  readonly quorum: number;
  readonly voteWindowMs: number;
  readonly timeoutMs: number;
} = { quorum: 2, voteWindowMs: 30_000, timeoutMs: 250 };

/**
 * - `joined`: the store answers.
 * - `alone`: it does not, or has not yet: the breaker decides by itself, as if it were not shared.
 * - `left`: it was closed, and is a local breaker from then on.
 */
export type ShareStatus = "joined" | "alone" | "left";

/** How a breaker stands to its fleet; plain JSON. */
export interface ShareSnapshot {
  readonly status: ShareStatus;
  /** Since when, in milliseconds. */
  readonly forMs: number;
  readonly instance: string;
  readonly quorum: number;
  /** The fleet's circuit, as it was when this instance heard of it last. */
  readonly fleet: {
    readonly state: "closed" | "open";
    readonly generation: number;
    readonly votes: number;
    readonly probing: number;
    readonly probed: number;
  };
}

/** Published as `holdfast:breaker:share` when a breaker finds or loses its fleet. */
export interface CircuitShareEvent {
  /** Name of the breaker, or of the breakers by key. */
  readonly breaker: string;
  readonly status: ShareStatus;
  /** Why it is alone. */
  readonly error?: Error;
}

/** What `close()` has done. */
export interface ShareCloseReport {
  /** Leases on probes that were given back, so that others can probe in their place. */
  readonly leasesReturned: number;
}

/** {@link ShareOptions}, checked. */
export interface ShareSettings {
  readonly store: CircuitStore;
  readonly key: string;
  readonly quorum: number;
  readonly voteWindowMs: number;
  readonly timeoutMs: number;
  readonly instance: string;
  /** Of the breaker. */
  readonly name: string;
  readonly clock: Clock;
}

/** @throws InvalidOptionError */
export function shareSettingsOf(
  owner: string,
  name: string,
  clock: Clock,
  share: ShareOptions,
): ShareSettings {
  const check = optionsOf(owner);
  const store = check.object("share.store", check.object("share", share).store);
  if (typeof store.vote !== "function" || typeof store.watch !== "function")
    check.refuse("share.store", store, "a store such as memoryCircuitStore() or redisCircuitStore()");
  const { quorum, voteWindowMs, timeoutMs } = SHARE_DEFAULTS;
  return {
    store,
    key: check.string("share.key", share.key, 500, name),
    quorum: check.integer("share.quorum", share.quorum, { min: 1, max: 1_000 }, quorum),
    voteWindowMs: check.duration("share.voteWindow", share.voteWindow, { min: 1 }, voteWindowMs),
    timeoutMs: check.duration("share.timeout", share.timeout, { min: 1 }, timeoutMs),
    instance: check.string("share.instance", share.instance, 200, crypto.randomUUID()),
    name,
    clock,
  };
}

/** The store's key of a circuit. The length makes the joint unambiguous: `a` and `b:c` is not `a:b` and `c`. */
export function fleetKey(share: string, part: string): string {
  return `${share.length}:${share}${part}`;
}
