// What a limiter asks of the place where its counts are kept.
import type { Limit } from "./limits/limit.ts";
import type { Decision } from "./decision.ts";

/**
 * Whom a take counts against: one key for all limits, or, where limits count `by` several things, one for each of them:
 * `{ user: "42", tenant: "acme" }`.
 */
export type Subject = string | Readonly<Record<string, string>>;

/** How much is taken: of every limit alike, or by the name of the limit; of one that is not named, 1. */
export type Cost = number | Readonly<Record<string, number>>;

/**
 * - `take`: from all limits or, if one of them has not as much, from none.
 * - `peek`: as take, but changes nothing.
 * - `spend`: from all limits, whether or not they have as much, for what has happened already. Later takes wait for it.
 */
export type TakeMode = "take" | "peek" | "spend";

/** What one call to a store is about. All is checked: keys are 1 to 512 characters, costs integers from 0. */
export interface LedgerCall {
  readonly subject: Subject;
  readonly cost: Cost;
  /** Those of the ledger, or others of the same names, for this call. */
  readonly limits: readonly Limit[];
}

/** The counts of one limiter in a store. */
export interface Ledger {
  /**
   * Decides on all limits at one instant. A refusal changes nothing anywhere: not even what would have fitted.
   *
   * @throws StoreUnavailableError when the store could not be asked.
   */
  take(call: LedgerCall, mode: TakeMode, signal?: AbortSignal): Promise<Decision>;
  /**
   * As {@link take}, at once, where that is possible: always where counts are in this process, and where a shared store
   * has lent this process enough. `undefined`: it has to be asked.
   */
  takeNow?(subject: Subject, cost: Cost, limits: readonly Limit[], mode: TakeMode): Decision | undefined;
  /**
   * Takes as much as there is of every limit, up to the cost, for a store that lends it on.
   *
   * @throws StoreUnavailableError when the store could not be asked.
   */
  borrow(call: LedgerCall, signal?: AbortSignal): Promise<Loan>;
  /**
   * Gives back what of a take still counts: of a window that is over nothing, of a bucket what has not come back by
   * itself. `marks` are the decision's.
   */
  refund(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<void>;
  /** Lets the leases of a take begin anew. @returns false if one of them has run out: its place may be another's. */
  renew(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<boolean>;
  /** Refuses everything of the subject for so long from now, whatever was said before; 0 ends it. */
  block(call: LedgerCall, forMs: number, signal?: AbortSignal): Promise<void>;
  /** Forgets all that was taken, and blocks. */
  reset(call: LedgerCall, signal?: AbortSignal): Promise<void>;
}

/** What was borrowed. */
export interface Loan {
  /** Of every limit; 0 when there was none. */
  readonly granted: number;
  /** Refused when nothing was granted: then it tells when there will be one. */
  readonly decision: Decision;
}

export interface RateLimitStoreTraits {
  /** Whether several processes count together. */
  readonly shared: boolean;
  /** Whose time it goes by. Of a shared store always the server's. */
  readonly clock: "caller" | "server";
}

/**
 * Keeps the counts of limiters. Ledgers of the same name count together. Every count ends by itself: it is forgotten once
 * nothing of it counts any more, and never before. Check another with `rateLimitStoreConformance` of
 * `@holdfast/ratelimit/testing`.
 */
export interface RateLimitStore {
  readonly traits: RateLimitStoreTraits;
  /** @throws ClosedError after {@link close}. */
  open(name: string, limits: readonly Limit[]): Ledger;
  /** Ends it: later calls reject with `ClosedError`. Its client stays open. */
  close(): Promise<void>;
}

/** The subject's key for a limit. */
export function keyFor(subject: Subject, limit: Limit): string {
  return typeof subject === "string" ? subject : subject[limit.by]!;
}

/** What is taken of a limit. */
export function costFor(cost: Cost, limit: Limit): number {
  return typeof cost === "number" ? cost : (cost[limit.name] ?? 1);
}
