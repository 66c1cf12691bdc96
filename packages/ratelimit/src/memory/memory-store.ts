// Counts in this process: exact, at once, and bounded whatever keys come.
import type { Clock, Random } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock, systemRandom } from "@holdfast/core";
import type { Decision, Standing } from "../decision.ts";
import { ceilMs, decided, decidedAlone } from "../decision.ts";
import type { Limit, LimitState } from "../limits/limit.ts";
import type {
  Cost,
  Ledger,
  LedgerCall,
  Loan,
  RateLimitStore,
  RateLimitStoreTraits,
  Subject,
  TakeMode,
} from "../store.ts";
import { costFor, keyFor } from "../store.ts";
import { Table } from "./table.ts";

export interface MemoryRateLimitStoreOptions {
  /**
   * Most keys that count, for each limit. Keys of which nothing counts any more are forgotten first and lose nothing by
   * it; new keys beyond the bound share 64 counts, so that a flood of them neither fills the memory nor pushes out
   * those who are limited. 1 to 10,000,000. @defaultValue 100_000
   */
  readonly maxKeys?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** Of which keys share counts when the store is full. @defaultValue systemRandom */
  readonly random?: Random;
}

/** The defaults of `memoryRateLimitStore`. */
export const MEMORY_RATE_LIMIT_DEFAULTS: { readonly maxKeys: number } = { maxKeys: 100_000 };

/**
 * Keeps counts in this process. Windows begin where they do by wall time when the store is made; from then on time only
 * grows, whatever wall time does.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { memoryRateLimitStore, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 *
 * const store = memoryRateLimitStore({ maxKeys: 10_000 });
 * const limiter = rateLimiter({ store, limits: tokenBucket({ capacity: 5, refill: 1, per: "1s" }) });
 * limiter.tryTake("user:42").allowed; // => true
 * ```
 */
export function memoryRateLimitStore(options: MemoryRateLimitStoreOptions = {}): RateLimitStore {
  const check = optionsOf("memoryRateLimitStore");
  check.object("options", options);
  return new MemoryRateLimitStore(
    check.integer(
      "maxKeys",
      options.maxKeys,
      { min: 1, max: 10_000_000 },
      MEMORY_RATE_LIMIT_DEFAULTS.maxKeys,
    ),
    options.clock ?? systemClock,
    check.function("random", options.random) ?? systemRandom,
  );
}

class MemoryRateLimitStore implements RateLimitStore {
  readonly traits: RateLimitStoreTraits = { shared: false, clock: "caller" };
  readonly #ledgers = new Map<string, MemoryLedger>();
  readonly #now: () => number;
  #closed = false;

  constructor(
    private readonly maxKeys: number,
    clock: Clock,
    private readonly random: Random,
  ) {
    const epoch = clock.now() - clock.monotonic();
    this.#now = () => Math.floor((clock.monotonic() + epoch) * 1_000);
  }

  open(name: string, limits: readonly Limit[]): Ledger {
    if (this.#closed) throw new ClosedError("the memory store of rate limits");
    const known = this.#ledgers.get(name);
    if (known !== undefined) return known;
    const ledger = new MemoryLedger(limits, this.maxKeys, this.random, this.#now);
    this.#ledgers.set(name, ledger);
    return ledger;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const ledger of this.#ledgers.values()) ledger.close();
    this.#ledgers.clear();
  }
}

class MemoryLedger implements Ledger {
  readonly #tables = new Map<string, Table>();
  /** The table of the limit that was asked about last: of the same one, nearly always. */
  #lastLimit: Limit | undefined;
  #lastTable: Table | undefined;
  #closed = false;

  constructor(
    limits: readonly Limit[],
    private readonly maxKeys: number,
    private readonly random: Random,
    private readonly now: () => number,
  ) {
    for (const limit of limits) this.#table(limit);
  }

  async take(call: LedgerCall, mode: TakeMode): Promise<Decision> {
    return this.takeNow(call.subject, call.cost, call.limits, mode);
  }

  takeNow(subject: Subject, cost: Cost, limits: readonly Limit[], mode: TakeMode): Decision {
    if (this.#closed) throw new ClosedError("the memory store of rate limits");
    const now = this.now();
    if (limits.length === 1) {
      const limit = limits[0]!;
      return this.#takeOne(limit, keyFor(subject, limit), costFor(cost, limit), mode, now);
    }
    const states = limits.map((limit) => this.#state(limit, keyFor(subject, limit), mode, now));
    const waits = limits.map((limit, index) => waitOf(limit, states[index]!, now, costFor(cost, limit)));
    const fits = waits.every((wait) => wait === 0);
    const allowed = fits || mode === "spend";
    const marks =
      allowed && mode !== "peek"
        ? limits.map((limit, index) => limit.rule.spend(states[index]!, now, costFor(cost, limit)))
        : [];
    return decided(
      allowed,
      limits.map((limit, index) => standingOf(limit, states[index]!, now, waits[index]!)),
      marks,
    );
  }

  async borrow({ subject, cost, limits }: LedgerCall): Promise<Loan> {
    if (this.#closed) throw new ClosedError("the memory store of rate limits");
    const now = this.now();
    const free = limits.map((limit) => {
      const state = this.#state(limit, keyFor(subject, limit), "take", now);
      const remaining = state.blockedUntil > now ? 0 : limit.rule.remaining(state, now);
      return Math.min(costFor(cost, limit), remaining);
    });
    const granted = Math.min(...free);
    const part = limits.map(
      (limit) => [limit.name, Math.min(costFor(cost, limit), Math.max(1, granted))] as const,
    );
    return { granted, decision: this.takeNow(subject, Object.fromEntries(part), limits, "take") };
  }

  async refund({ subject, cost, limits }: LedgerCall, marks: readonly number[]): Promise<void> {
    this.#each(subject, limits, (limit, state, now, index) => {
      const mark = marks[index];
      if (mark !== undefined) limit.rule.refund(state, now, costFor(cost, limit), mark);
    });
  }

  async renew({ subject, limits }: LedgerCall, marks: readonly number[]): Promise<boolean> {
    let held = true;
    this.#each(subject, limits, (limit, state, now, index) => {
      if (limit.rule.renew?.(state, now, marks[index] ?? -1) === false) held = false;
    });
    return held;
  }

  async block({ subject, limits }: LedgerCall, forMs: number): Promise<void> {
    this.#each(subject, limits, (_, state, now) => {
      state.blockedUntil = now + Math.ceil(forMs * 1_000);
    });
  }

  async reset({ subject, limits }: LedgerCall): Promise<void> {
    if (this.#closed) throw new ClosedError("the memory store of rate limits");
    for (const limit of limits) this.#table(limit).forget(keyFor(subject, limit));
  }

  close(): void {
    this.#closed = true;
    for (const table of this.#tables.values()) table.clear();
  }

  #takeOne(limit: Limit, key: string, cost: number, mode: TakeMode, now: number): Decision {
    const { rule } = limit;
    const state = this.#state(limit, key, mode, now);
    const wait = waitOf(limit, state, now, cost);
    const allowed = wait === 0 || mode === "spend";
    const mark = allowed && mode !== "peek" ? rule.spend(state, now, cost) : 0;
    return decidedAlone(
      allowed,
      limit,
      rule.remaining(state, now),
      allowed ? 0 : wait,
      rule.growsIn(state, now),
      rule.restsIn(state, now),
      mark,
    );
  }

  #each(
    subject: Subject,
    limits: readonly Limit[],
    act: (limit: Limit, state: LimitState, now: number, index: number) => void,
  ): void {
    if (this.#closed) throw new ClosedError("the memory store of rate limits");
    const now = this.now();
    limits.forEach((limit, index) =>
      act(limit, this.#state(limit, keyFor(subject, limit), "take", now), now, index),
    );
  }

  #state(limit: Limit, key: string, mode: TakeMode, now: number): LimitState {
    const table = this.#table(limit);
    const state = mode === "peek" ? table.look(key) : table.stateOf(key, now);
    limit.rule.advance(state, now);
    return state;
  }

  #table(limit: Limit): Table {
    if (limit === this.#lastLimit) return this.#lastTable!;
    let table = this.#tables.get(limit.name);
    if (table === undefined) {
      table = new Table(limit, this.maxKeys, this.random);
      this.#tables.set(limit.name, table);
    }
    this.#lastLimit = limit;
    this.#lastTable = table;
    return table;
  }
}

function waitOf({ rule }: Limit, state: LimitState, now: number, cost: number): number {
  const wait = rule.waitFor(state, now, cost);
  return state.blockedUntil > now ? Math.max(wait, state.blockedUntil - now) : wait;
}

function standingOf(limit: Limit, state: LimitState, now: number, waitUs: number): Standing {
  const { rule } = limit;
  return {
    limit,
    remaining: rule.remaining(state, now),
    retryAfterMs: ceilMs(waitUs),
    growsInMs: ceilMs(rule.growsIn(state, now)),
    resetMs: ceilMs(rule.restsIn(state, now)),
  };
}
