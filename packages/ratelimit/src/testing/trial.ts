// One clause on trial: a store in which nothing has been taken, and short words for what is asked of it.
import { ensure, same } from "@holdfast/core/testing";
import type { Allowed, Decision, Refused } from "../decision.ts";
import { concurrency } from "../limits/concurrency.ts";
import { fixedWindow } from "../limits/fixed-window.ts";
import { gcra } from "../limits/gcra.ts";
import { leakyBucket } from "../limits/leaky-bucket.ts";
import type { Limit } from "../limits/limit.ts";
import { slidingLog } from "../limits/sliding-log.ts";
import { slidingWindow } from "../limits/sliding-window.ts";
import { tokenBucket } from "../limits/token-bucket.ts";
import type { Cost, Ledger, LedgerCall, Loan, RateLimitStore, Subject, TakeMode } from "../store.ts";

/** What the suite is run on. */
export interface RateLimitStoreSubject {
  /** A store for each test; counts of other tests may be in it. The suite closes it. */
  readonly make: () => RateLimitStore | Promise<RateLimitStore>;
  /** Lets this many milliseconds pass on the store's clock; never less. */
  readonly advance: (ms: number) => Promise<void>;
  /**
   * The unit of time of the suite, in milliseconds: limits come back within a few of it. With a server's clock long enough for
   * some dozens of calls. @defaultValue 1_000
   */
  readonly unitMs?: number;
  /** It lends quota, and has no `concurrency` limits: what is about those is left out. @defaultValue false */
  readonly lends?: boolean;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
  /** Needs a clock that stands still between calls. */
  readonly exact?: boolean;
  /** Is about `concurrency` limits. */
  readonly leases?: boolean;
}

export class Trial {
  readonly unitMs: number;

  constructor(
    readonly store: RateLimitStore,
    private readonly subject: RateLimitStoreSubject,
  ) {
    this.unitMs = subject.unitMs ?? 1_000;
  }

  advance(ms: number): Promise<void> {
    return this.subject.advance(ms);
  }

  /** A limiter's counts that nobody else has. */
  open(...limits: readonly Limit[]): Book {
    return this.openAs(`trial-${crypto.randomUUID()}`, ...limits);
  }

  openAs(name: string, ...limits: readonly Limit[]): Book {
    return new Book(this.store.open(name, limits), limits);
  }

  /** So much at once; none comes back while a clause is tried. */
  bucket(capacity: number): { readonly book: Book; readonly limit: Limit } {
    const limit = tokenBucket({ capacity, refill: 1, per: "1h" });
    return { book: this.open(limit), limit };
  }

  /** One limit of each algorithm, of which nothing comes back while a clause is tried. */
  lasting(quota: number): readonly Limit[] {
    const perHour = { refill: 1, per: "1h" } as const;
    return [
      tokenBucket({ capacity: quota, ...perHour }),
      leakyBucket({ capacity: quota, leak: 1, per: "1h" }),
      gcra({ burst: quota, rate: 1, per: "1h" }),
      fixedWindow({ limit: quota, window: "366d" }),
      slidingWindow({ limit: quota, window: "366d" }),
      slidingLog({ limit: quota, window: "1h" }),
      ...(this.subject.lends === true ? [] : [concurrency({ limit: quota, lease: "1h" })]),
    ];
  }

  /** One limit of each algorithm, all of which is back after {@link unitMs}, or two windows of half of that. */
  passing(quota: number): readonly Limit[] {
    const per = this.unitMs;
    const half = per / 2;
    return [
      tokenBucket({ capacity: quota, refill: quota, per }),
      leakyBucket({ capacity: quota, leak: quota, per }),
      gcra({ burst: quota, rate: quota, per }),
      fixedWindow({ limit: quota, window: half }),
      slidingWindow({ limit: quota, window: half }),
      slidingLog({ limit: quota, window: per }),
      ...(this.subject.lends === true ? [] : [concurrency({ limit: quota, lease: per })]),
    ];
  }

  /** Tries something with one limit of each algorithm. */
  async each(limits: readonly Limit[], check: (book: Book, limit: Limit) => Promise<void>): Promise<void> {
    for (const limit of limits) {
      await this.#atStartOfWindow(limit);
      await check(this.open(limit), limit);
    }
  }

  /** A clause must not begin in one window and end in the next. */
  async #atStartOfWindow({ algorithm, windowMs }: Limit): Promise<void> {
    if (algorithm !== "fixed-window" && algorithm !== "sliding-window") return;
    const window = this.open(fixedWindow({ limit: 1, window: windowMs }));
    const { resetMs } = await window.allowed();
    if (resetMs < this.unitMs) await this.advance(resetMs);
  }
}

/** A ledger with its limits and a subject to begin with. */
export class Book {
  constructor(
    readonly ledger: Ledger,
    readonly limits: readonly Limit[],
  ) {}

  call(cost: Cost = 1, subject: Subject = "key", limits: readonly Limit[] = this.limits): LedgerCall {
    return { subject, cost, limits };
  }

  take(
    cost: Cost = 1,
    subject: Subject = "key",
    mode: TakeMode = "take",
    limits: readonly Limit[] = this.limits,
  ): Promise<Decision> {
    return this.ledger.take(this.call(cost, subject, limits), mode);
  }

  /** A take that is to be allowed. */
  async allowed(cost: Cost = 1, subject: Subject = "key", what: string = "a take"): Promise<Allowed> {
    const decision = await this.take(cost, subject);
    ensure(decision.allowed, `${what} of ${JSON.stringify(cost)} from ${this.#names()} is to be allowed`);
    return decision;
  }

  /** A take that is to be refused. */
  async refused(cost: Cost = 1, subject: Subject = "key", what: string = "a take"): Promise<Refused> {
    const decision = await this.take(cost, subject);
    ensure(!decision.allowed, `${what} of ${JSON.stringify(cost)} from ${this.#names()} is to be refused`);
    ensure(decision.retryAfterMs >= 1, `a refusal tells when to try again; ${decision.retryAfterMs} ms`);
    return decision;
  }

  /** What can be taken of each limit. */
  async left(subject: Subject = "key"): Promise<readonly number[]> {
    const { standings } = await this.take(0, subject, "peek");
    return standings.map(({ remaining }) => remaining);
  }

  async expectLeft(expected: readonly number[], what: string, subject: Subject = "key"): Promise<void> {
    same(await this.left(subject), expected, `${what}: what is left of ${this.#names()}`);
  }

  borrow(cost: Cost, subject: Subject = "key"): Promise<Loan> {
    return this.ledger.borrow(this.call(cost, subject));
  }

  refund({ marks }: Allowed, cost: Cost = 1, subject: Subject = "key"): Promise<void> {
    return this.ledger.refund(this.call(cost, subject), marks);
  }

  #names(): string {
    return this.limits.map(({ algorithm }) => algorithm).join(" and ");
  }
}
