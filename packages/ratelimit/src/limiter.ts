// The rate limiter: checks what it is asked, asks the store, and tells what came of it.
import type { Clock, Duration, Policy } from "@holdfast/core";
import { channel, ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type {
  AcquireOptions,
  AskOptions,
  LimiterPolicyOptions,
  RateLimitDecisionEvent,
  RateLimiter,
  RateLimiterOptions,
  RateLimiterSnapshot,
  Reservation,
  SubjectOf,
  TakeOptions,
} from "./contract.ts";
import type { Allowed, Decision, Refused } from "./decision.ts";
import { decidedDespite } from "./decision.ts";
import { GuardedLedger } from "./guarded-ledger.ts";
import { holdPlaces } from "./held-places.ts";
import { limiterPolicy } from "./limiter-policy.ts";
import type { Limit } from "./limits/limit.ts";
import { memoryRateLimitStore } from "./memory/memory-store.ts";
import { reservation } from "./reservation.ts";
import type { Cost, Ledger, LedgerCall } from "./store.ts";
import { checkCost, checkSubject, limitsFor, subjectId } from "./subject.ts";
import { WaitingRoom } from "./waiting/waiting-room.ts";

/** The defaults of `rateLimiter`. */
export const RATE_LIMITER_DEFAULTS: {
  readonly maxWaiting: number;
  readonly maxWaitMs: number;
  readonly storeRetryMs: number;
} = { maxWaiting: 1_000, maxWaitMs: 30_000, storeRetryMs: 1_000 };

/** Most limits of one limiter. */
const MAX_LIMITS = 16;

const decision = /* @__PURE__ */ channel<RateLimitDecisionEvent>("ratelimit", "decision");

/**
 * A rate limiter over one or several limits, which are decided together: either all are taken from, or none.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { fixedWindow, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 *
 * const limiter = rateLimiter({
 *   limits: [
 *     tokenBucket({ name: "burst", capacity: 10, refill: 2, per: "1s" }),
 *     fixedWindow({ name: "daily", limit: 10_000, window: "1d" }),
 *   ],
 * });
 * const { allowed, remaining, limit } = await limiter.take("user:42", { cost: 3 });
 * [allowed, remaining, limit.name]; // => [true, 7, "burst"]
 * ```
 */
export function rateLimiter<const By extends string = "key">(
  options: RateLimiterOptions<By>,
): RateLimiter<By> {
  return new Limiter(options);
}

class Limiter<By extends string> implements RateLimiter<By> {
  readonly name: string;
  readonly limits: readonly Limit<By>[];
  readonly #scopes: readonly string[];
  readonly #ledger: Ledger;
  readonly #guard: GuardedLedger;
  readonly #isShared: boolean;
  readonly #enforce: boolean | (() => boolean);
  readonly #room: WaitingRoom;
  readonly #maxWaitMs: number;
  readonly #clock: Clock;
  #closed = false;

  constructor(options: RateLimiterOptions<By>) {
    const check = optionsOf("rateLimiter");
    check.object("options", options);
    const { maxWaiting, maxWaitMs, storeRetryMs } = RATE_LIMITER_DEFAULTS;
    this.name = check.string("name", options.name, 64, "rate-limiter");
    if (!/^[\w.-]+$/.test(this.name)) check.refuse("name", this.name, "letters, digits, '-', '_' or '.'");
    this.limits = checkLimits(options.limits);
    this.#scopes = [...new Set(this.limits.map(({ by }) => by))];
    this.#clock = options.clock ?? systemClock;
    const store = options.store ?? memoryRateLimitStore({ clock: this.#clock });
    if (typeof store.open !== "function")
      check.refuse("store", store, "a store such as memoryRateLimitStore()");
    this.#isShared = store.traits.shared;
    const answers = ["open", "closed", "local"] as const;
    // Of a shared store there is no answer that is right for everybody; a local one does not fail.
    const fallback = this.#isShared ? undefined : "closed";
    const onStoreError = check.oneOf("onStoreError", options.onStoreError, answers, fallback);
    this.#ledger = store.open(this.name, this.limits);
    this.#guard = new GuardedLedger(this.#ledger, {
      limiter: this.name,
      limits: this.limits,
      onStoreError,
      instances: check.integer("instances", options.instances, { min: 1, max: 100_000 }, 1),
      retryMs: check.duration("storeRetry", options.storeRetry, {}, storeRetryMs),
      clock: this.#clock,
    });
    this.#enforce =
      typeof options.enforce === "function"
        ? options.enforce
        : check.boolean("enforce", options.enforce, true);
    const most = check.integer("maxWaiting", options.maxWaiting, { min: 1, max: 1_000_000 }, maxWaiting);
    this.#room = new WaitingRoom(this.name, most, this.#clock);
    this.#maxWaitMs = check.duration("maxWait", options.maxWait, { min: 1 }, maxWaitMs);
  }

  tryTake(subject: SubjectOf<By>, options?: TakeOptions): Decision {
    if (this.#isShared)
      optionsOf("tryTake").refuse("store", "shared", "one in this process; of a shared store, use take()");
    return (options === undefined ? this.#takeOne(subject) : this.#takeNow(this.#call(subject, options)))!;
  }

  take(subject: SubjectOf<By>, options?: AskOptions): Promise<Decision> {
    // Not an async function: where the answer is there at once, it is one promise and no more.
    try {
      if (options === undefined) {
        const taken = this.#takeOne(subject);
        if (taken !== undefined) return Promise.resolve(taken);
      }
      options?.signal?.throwIfAborted();
      const call = this.#call(subject, options);
      const now = this.#takeNow(call);
      return now === undefined ? this.#ask(call, options?.signal) : Promise.resolve(now);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  async peek(subject: SubjectOf<By>, options?: AskOptions): Promise<Decision> {
    return this.#guard.take(this.#call(subject, options), "peek", options?.signal);
  }

  async acquire(subject: SubjectOf<By>, options: AcquireOptions = {}): Promise<Allowed> {
    const check = optionsOf("acquire");
    const { signal, tenant = "" } = options;
    const weight = check.number("weight", options.weight, { min: 0.001, max: 1_000 }, 1);
    const deadlineMs = check.duration("deadline", options.deadline, {}, this.#maxWaitMs);
    if (typeof tenant !== "string") check.refuse("tenant", tenant, "a string");
    const call = this.#call(subject, options);
    const id = subjectId(call.subject, this.#scopes);
    signal?.throwIfAborted();
    let refusal: Refused | undefined;
    // Nobody passes those who wait.
    if (!this.#room.hasLine(id)) {
      const now = this.#takeNow(call);
      if (now?.allowed === true) return now;
      refusal = now;
    }
    return this.#room.wait(
      {
        id,
        tenant,
        effort: effortOf(call.cost) / weight,
        deadlineMs,
        signal,
        ask: () => this.#takeNow(call) ?? this.#ask(call, undefined),
        giveBack: (allowed) => void this.#refund(call, allowed).catch(() => {}),
      },
      refusal,
    );
  }

  async reserve(subject: SubjectOf<By>, options?: AskOptions): Promise<Reservation | Refused> {
    const taken = await this.take(subject, options);
    if (!taken.allowed) return taken;
    const call = this.#call(subject, options);
    return reservation(call, taken, {
      refund: (part) => this.#refund(part, taken),
      spend: async (part) => {
        checkCost(part.cost, part.limits, true);
        await this.#guard.take(part, "spend");
      },
    });
  }

  async refund(subject: SubjectOf<By>, taken: Decision, options?: AskOptions): Promise<void> {
    await this.#refund(this.#call(subject, options), taken, options?.signal);
  }

  hold(subject: SubjectOf<By>, taken: Allowed, options?: TakeOptions): () => void {
    return holdPlaces(this.#call(subject, options), taken, {
      renew: (part, marks) => this.#guard.renew(part, taken, marks),
      refund: async (part, marks) => {
        await this.#guard.refund(part, taken, marks);
        this.#room.wake(subjectId(part.subject, this.#scopes));
      },
      clock: this.#clock,
    });
  }

  async block(
    subject: SubjectOf<By>,
    duration: Duration,
    options?: Pick<AskOptions, "signal">,
  ): Promise<void> {
    const forMs = optionsOf("block").duration("duration", duration);
    const call = this.#call(subject, undefined);
    await this.#guard.block(call, forMs, options?.signal);
    this.#room.wake(subjectId(call.subject, this.#scopes));
  }

  async reset(subject: SubjectOf<By>, options?: Pick<AskOptions, "signal">): Promise<void> {
    const call = this.#call(subject, undefined);
    await this.#guard.reset(call, options?.signal);
    this.#room.wake(subjectId(call.subject, this.#scopes));
  }

  for(subject: SubjectOf<By>, options: LimiterPolicyOptions = {}): Policy {
    const call = this.#call(subject, options);
    return limiterPolicy(this.name, call.limits, options.wait === true, {
      take: (signal) => this.take(subject, { ...options, signal }),
      acquire: (signal) => this.acquire(subject, { ...options, signal }),
      hold: (taken) => this.hold(subject, taken, options),
    });
  }

  snapshot(): RateLimiterSnapshot {
    const limits = this.limits.map(({ name, by, algorithm, quota, windowMs }) => ({
      name,
      by,
      algorithm,
      quota,
      windowMs,
    }));
    const { waiting } = this.#room;
    return { kind: "rate-limiter", name: this.name, limits, waiting, store: this.#guard.state };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#room.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(subject: SubjectOf<By>): void {
    if (this.#closed) throw new ClosedError(`the rate limiter ${this.name}`);
    checkSubject(subject, this.#scopes);
  }

  #call(subject: SubjectOf<By>, options: TakeOptions | undefined): LedgerCall {
    this.#check(subject);
    const limits = options?.limits === undefined ? this.limits : limitsFor(this.limits, options.limits);
    const cost = options?.cost ?? 1;
    if (cost !== 1) checkCost(cost, limits, false);
    return { subject, cost, limits };
  }

  /** What most calls are: one, of the limiter's own limits. Nothing is made for it but its decision. */
  #takeOne(subject: SubjectOf<By>): Decision | undefined {
    this.#check(subject);
    const taken = this.#ledger.takeNow?.(subject, 1, this.limits, "take");
    return taken === undefined ? undefined : this.#told(taken);
  }

  #takeNow({ subject, cost, limits }: LedgerCall): Decision | undefined {
    const taken = this.#ledger.takeNow?.(subject, cost, limits, "take");
    return taken === undefined ? undefined : this.#told(taken);
  }

  async #ask(call: LedgerCall, signal: AbortSignal | undefined): Promise<Decision> {
    return this.#told(await this.#guard.take(call, "take", signal));
  }

  async #refund(call: LedgerCall, taken: Decision, signal?: AbortSignal): Promise<void> {
    if (!taken.allowed || taken.marks.length === 0) return;
    await this.#guard.refund(call, taken, taken.marks, signal);
    this.#room.wake(subjectId(call.subject, this.#scopes));
  }

  #told(taken: Decision): Decision {
    if (taken.allowed && !decision.hasSubscribers) return taken;
    const enforced = taken.allowed || (typeof this.#enforce === "function" ? this.#enforce() : this.#enforce);
    if (decision.hasSubscribers) {
      const { limit, allowed, remaining, retryAfterMs, degraded } = taken;
      decision.publish({
        limiter: this.name,
        limit: limit.name,
        allowed,
        enforced,
        remaining,
        retryAfterMs,
        ...(degraded === undefined ? {} : { degraded }),
      });
    }
    return enforced ? taken : decidedDespite(taken, { shadow: true });
  }
}

function checkLimits<By extends string>(limits: Limit<By> | readonly Limit<By>[]): readonly Limit<By>[] {
  const check = optionsOf("rateLimiter");
  const list: readonly Limit<By>[] = Array.isArray(limits) ? limits : [limits as Limit<By>];
  if (list.length < 1 || list.length > MAX_LIMITS)
    check.refuse("limits", list.length, `1 to ${MAX_LIMITS} limits, such as tokenBucket({ … })`);
  const names = new Set<string>();
  for (const limit of list) {
    if (typeof limit?.rule?.waitFor !== "function")
      check.refuse("limits", limit, "made by tokenBucket({ … }) or its like");
    if (names.has(limit.name))
      check.refuse("limits", limit.name, "limits with a name each: set their `name`");
    names.add(limit.name);
  }
  return list;
}

/** What a turn costs its tenant. */
function effortOf(cost: Cost): number {
  return Math.max(1, typeof cost === "number" ? cost : Math.max(...Object.values(cost)));
}
