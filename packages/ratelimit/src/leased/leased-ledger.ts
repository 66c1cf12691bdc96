// Takes from what was borrowed, borrows in time, and gives back what was not used.
import type { Clock, Random, Timer } from "@holdfast/core";
import { ClosedError } from "@holdfast/core";
import type { Decision } from "../decision.ts";
import { decided, decidedAlone } from "../decision.ts";
import type { Limit } from "../limits/limit.ts";
import type { Cost, Ledger, LedgerCall, Loan, Subject, TakeMode } from "../store.ts";
import { subjectId } from "../subject.ts";
import type { LoanedSlice } from "./pool.ts";
import { Pool } from "./pool.ts";

export interface LeaseSettings {
  readonly leaseMs: number;
  /** Of the smallest quota. */
  readonly maxShare: number;
  /** Most subjects with a pool. */
  readonly maxKeys: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** How often in the time of a lease what is over is looked for. */
const SWEEPS = 4;

export class LeasedLedger implements Ledger {
  readonly #scopes: readonly string[];
  readonly #maxSlice: number;
  readonly #pools = new Map<string, { readonly pool: Pool; readonly subject: Subject }>();
  /** Refunds under way, for `close`. */
  readonly #returns = new Set<Promise<void>>();
  #sweeper: Timer | undefined;
  #closed = false;

  constructor(
    private readonly ledger: Ledger,
    private readonly limits: readonly Limit[],
    private readonly settings: LeaseSettings,
  ) {
    this.#scopes = [...new Set(limits.map(({ by }) => by))];
    const smallest = Math.min(...limits.map(({ quota }) => quota));
    this.#maxSlice = Math.max(1, Math.floor(smallest * settings.maxShare));
  }

  takeNow(subject: Subject, cost: Cost, limits: readonly Limit[], mode: TakeMode): Decision | undefined {
    if (this.#closed) throw new ClosedError("the leased store of rate limits");
    if (mode !== "take" || typeof cost !== "number" || cost === 0 || limits !== this.limits) return undefined;
    const id = subjectId(subject, this.#scopes);
    const pool = this.#pools.get(id)?.pool;
    if (pool === undefined) return undefined;
    const now = this.settings.clock.monotonic();
    const slice = pool.take(cost, now);
    if (slice !== undefined) {
      // Not awaited: whoever comes next finds something there.
      if (pool.borrowing === undefined && pool.refusal === undefined && pool.isLow(now))
        void this.#borrow(pool, subject).catch(() => {});
      return lent(slice, pool.told ?? slice.decision, pool.left(now));
    }
    const { refusal } = pool;
    if (refusal === undefined) return undefined;
    if (now < refusal.until) return refusedStill(refusal.decision, now - refusal.at);
    pool.refusal = undefined;
    return undefined;
  }

  async take(call: LedgerCall, mode: TakeMode, signal?: AbortSignal): Promise<Decision> {
    const { subject, cost, limits } = call;
    const lends =
      mode === "take" &&
      typeof cost === "number" &&
      cost > 0 &&
      limits === this.limits &&
      cost <= this.#maxSlice;
    const pool = lends ? this.#poolOf(subject) : undefined;
    if (pool === undefined) return this.ledger.take(call, mode, signal);
    // Once for those who came while another asked, once for itself.
    for (let round = 0; round < 2; round += 1) {
      pool.wanted += cost as number;
      try {
        await unlessAborted(pool.borrowing ?? this.#borrow(pool, subject), signal);
      } finally {
        pool.wanted -= cost as number;
      }
      const decision = this.takeNow(subject, cost, limits, mode);
      if (decision !== undefined) return decision;
    }
    return this.ledger.take(call, mode, signal);
  }

  borrow(call: LedgerCall, signal?: AbortSignal): Promise<Loan> {
    return this.ledger.borrow(call, signal);
  }

  refund(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<void> {
    return this.ledger.refund(call, marks, signal);
  }

  renew(call: LedgerCall, marks: readonly number[], signal?: AbortSignal): Promise<boolean> {
    return this.ledger.renew(call, marks, signal);
  }

  async block(call: LedgerCall, forMs: number, signal?: AbortSignal): Promise<void> {
    this.#forget(call.subject);
    await this.ledger.block(call, forMs, signal);
  }

  async reset(call: LedgerCall, signal?: AbortSignal): Promise<void> {
    this.#forget(call.subject);
    await this.ledger.reset(call, signal);
  }

  /** Gives all back. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#sweeper?.cancel();
    for (const { pool, subject } of this.#pools.values()) this.#giveBack(subject, pool.drop(Infinity));
    this.#pools.clear();
    await Promise.all(this.#returns);
  }

  #borrow(pool: Pool, subject: Subject): Promise<void> {
    const { clock, leaseMs, random } = this.settings;
    const work = async (): Promise<void> => {
      // All who have found nothing say first what they want.
      await Promise.resolve();
      const askedAt = clock.monotonic();
      const slice = pool.nextSlice(askedAt, leaseMs, this.#maxSlice);
      const cost = Math.min(Math.max(pool.wanted, slice), this.#maxSlice);
      try {
        const { granted, decision } = await this.ledger.borrow({ subject, cost, limits: this.limits });
        if (granted > 0) this.#lend(pool, subject, { left: granted, endsAt: askedAt + leaseMs, decision });
        else {
          // Believed no longer than a lease, since others may give back or reset.
          const at = clock.monotonic();
          const waitMs = Math.min(decision.retryAfterMs, leaseMs);
          // Not all processes at once, or the first of them would have it each time.
          pool.refusal = { decision, at, until: at + waitMs * (1 + random()) };
          pool.giveWay();
        }
      } finally {
        pool.borrowing = undefined;
      }
    };
    pool.borrowing = work();
    return pool.borrowing;
  }

  #lend(pool: Pool, subject: Subject, slice: LoanedSlice): void {
    if (this.#closed || this.#pools.get(subjectId(subject, this.#scopes))?.pool !== pool) {
      this.#giveBack(subject, [slice]);
      return;
    }
    pool.add(slice);
    this.#sweepLater();
  }

  /** Undefined when there is no room for another subject. */
  #poolOf(subject: Subject): Pool | undefined {
    const id = subjectId(subject, this.#scopes);
    const known = this.#pools.get(id);
    if (known !== undefined) return known.pool;
    if (this.#pools.size >= this.settings.maxKeys) return undefined;
    const pool = new Pool();
    this.#pools.set(id, { pool, subject });
    this.#sweepLater();
    return pool;
  }

  #forget(subject: Subject): void {
    const id = subjectId(subject, this.#scopes);
    const known = this.#pools.get(id);
    if (known === undefined) return;
    this.#pools.delete(id);
    this.#giveBack(subject, known.pool.drop(Infinity));
  }

  #sweepLater(): void {
    this.#sweeper ??= this.settings.clock.setTimer(this.settings.leaseMs / SWEEPS, () => {
      this.#sweeper = undefined;
      const now = this.settings.clock.monotonic();
      for (const [id, { pool, subject }] of this.#pools) {
        this.#giveBack(subject, pool.drop(now));
        if (pool.refusal !== undefined && pool.refusal.until <= now) pool.refusal = undefined;
        if (pool.isEmpty && pool.refusal === undefined) this.#pools.delete(id);
      }
      if (this.#pools.size > 0) this.#sweepLater();
    });
  }

  /** What cannot be given back comes back by itself, as if it had been used. */
  #giveBack(subject: Subject, slices: readonly LoanedSlice[]): void {
    for (const { left, decision } of slices) {
      if (left === 0 || !decision.allowed) continue;
      const call = { subject, cost: left, limits: this.limits };
      const work: Promise<void> = this.ledger
        .refund(call, decision.marks)
        .catch(() => {})
        .finally(() => this.#returns.delete(work));
      this.#returns.add(work);
    }
  }
}

/** The promise, or the signal's reason as soon as it aborts. */
async function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** As the store told when it was asked last; what is on loan can be taken too. */
function lent({ decision }: LoanedSlice, told: Decision, left: number): Decision {
  const { standings } = told;
  const marks = decision.allowed ? decision.marks : [];
  if (standings.length === 1) {
    const { limit, remaining, growsInMs, resetMs } = standings[0]!;
    return decidedAlone(true, limit, remaining + left, 0, growsInMs * 1_000, resetMs * 1_000, marks[0] ?? 0);
  }
  const now = standings.map(({ limit, remaining, growsInMs, resetMs }) => ({
    limit,
    remaining: remaining + left,
    retryAfterMs: 0,
    growsInMs,
    resetMs,
  }));
  return decided(true, now, marks);
}

/** As the store told `forMs` ago. */
function refusedStill({ standings }: Decision, forMs: number): Decision {
  const since = (ms: number): number => Math.max(0, Math.ceil(ms - forMs));
  const now = standings.map(({ limit, remaining, growsInMs, resetMs, retryAfterMs }) => ({
    limit,
    remaining,
    retryAfterMs: since(retryAfterMs),
    growsInMs: since(growsInMs),
    resetMs: since(resetMs),
  }));
  return decided(false, now);
}
