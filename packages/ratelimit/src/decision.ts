// What a limiter answers.
import type { Limit } from "./limits/limit.ts";

/** How one limit stands after a decision. Times are in whole milliseconds, rounded up. */
export interface Standing {
  readonly limit: Limit;
  /** What can still be taken now. */
  readonly remaining: number;
  /** How long until what was asked for can be taken, if nobody takes any before; 0 when it could be taken now. */
  readonly retryAfterMs: number;
  /** How long until `remaining` grows; 0 when nothing is taken. */
  readonly growsInMs: number;
  /** How long until nothing that was taken counts any more. */
  readonly resetMs: number;
}

interface Outcome {
  /** The limit that decided: the one to wait longest for, else the one with the smallest share left. */
  readonly limit: Limit;
  /** Of that limit, as {@link Standing}. */
  readonly remaining: number;
  readonly growsInMs: number;
  readonly resetMs: number;
  /** Every limit, in the limiter's order. */
  readonly standings: readonly Standing[];
  /** How it came about when the store could not be asked: see `onStoreError`. */
  readonly degraded?: "open" | "local";
}

/** It may be done. */
export interface Allowed extends Outcome {
  readonly allowed: true;
  readonly retryAfterMs: 0;
  /** `true`: it was refused, but the limiter does not enforce. */
  readonly shadow?: true;
  /** What a refund names: one number for each limit. Of no meaning elsewhere. */
  readonly marks: readonly number[];
}

/** It may not be done now; nothing was taken of any limit. */
export interface Refused extends Outcome {
  readonly allowed: false;
  /** How long until it can be done, if nobody takes any before; in whole milliseconds, from 1. */
  readonly retryAfterMs: number;
}

export type Decision = Allowed | Refused;

/** Microseconds as whole milliseconds, never less. */
export function ceilMs(us: number): number {
  return Math.ceil(us / 1_000);
}

/**
 * A decision on several limits, for those who write a store. `marks` are needed only for one that is allowed.
 *
 * @example
 * ```ts
 * import { decided, fixedWindow } from "@holdfast/ratelimit";
 *
 * const limit = fixedWindow({ limit: 5, window: "1m" });
 * const standing = { limit, remaining: 0, retryAfterMs: 900, growsInMs: 900, resetMs: 900 };
 * decided(false, [standing]).retryAfterMs; // => 900
 * ```
 */
export function decided(
  allowed: boolean,
  standings: readonly Standing[],
  marks: readonly number[] = [],
): Decision {
  const { limit, remaining, retryAfterMs, growsInMs, resetMs } = tightest(standings);
  const outcome = { limit, remaining, growsInMs, resetMs, standings };
  return allowed
    ? { allowed, retryAfterMs: 0, marks, ...outcome }
    : { allowed, retryAfterMs: Math.max(1, retryAfterMs), ...outcome };
}

/**
 * A decision on one limit, with times in microseconds: the case to be fast in. What only few look at is made when they
 * do.
 */
export function decidedAlone(
  allowed: boolean,
  limit: Limit,
  remaining: number,
  waitUs: number,
  growsInUs: number,
  resetUs: number,
  mark: number,
): Decision {
  return new DecidedAlone(allowed, limit, remaining, waitUs, growsInUs, resetUs, mark) as Decision;
}

/** The same decision, come about without the store, or not enforced. */
export function decidedDespite(
  decision: Decision,
  why: { readonly degraded?: "open" | "local"; readonly shadow?: true },
): Decision {
  const { standings } = decision;
  return { ...decided(true, standings, decision.allowed ? decision.marks : []), ...why } as Decision;
}

/** Divides only when asked: two divisions are a seventh of what a take costs. */
class DecidedAlone implements Standing {
  readonly retryAfterMs: number;

  constructor(
    readonly allowed: boolean,
    readonly limit: Limit,
    readonly remaining: number,
    waitUs: number,
    private readonly growsInUs: number,
    private readonly resetUs: number,
    private readonly mark: number,
  ) {
    this.retryAfterMs = waitUs === 0 ? 0 : ceilMs(waitUs);
  }

  get growsInMs(): number {
    return ceilMs(this.growsInUs);
  }

  get resetMs(): number {
    return ceilMs(this.resetUs);
  }

  get standings(): readonly Standing[] {
    return [this];
  }

  get marks(): readonly number[] {
    return [this.mark];
  }
}

function tightest(standings: readonly Standing[]): Standing {
  return standings.reduce((found, standing) => {
    if (standing.retryAfterMs !== found.retryAfterMs)
      return standing.retryAfterMs > found.retryAfterMs ? standing : found;
    return shareLeft(standing) < shareLeft(found) ? standing : found;
  });
}

function shareLeft({ remaining, limit }: Standing): number {
  return remaining / limit.quota;
}
