// What becomes of a question that the store cannot answer.
import type { Clock } from "@holdfast/core";
import { asError, channel, hasCode } from "@holdfast/core";
import type { RateLimitStoreEvent } from "./contract.ts";
import type { Decision } from "./decision.ts";
import { decided, decidedDespite } from "./decision.ts";
import type { Limit } from "./limits/limit.ts";
import { memoryRateLimitStore } from "./memory/memory-store.ts";
import type { Ledger, LedgerCall, TakeMode } from "./store.ts";
import { costFor } from "./store.ts";

export interface GuardSettings {
  readonly limiter: string;
  readonly limits: readonly Limit[];
  readonly onStoreError: "open" | "closed" | "local";
  readonly instances: number;
  readonly retryMs: number;
  readonly clock: Clock;
}

const storeFailed = /* @__PURE__ */ channel<RateLimitStoreEvent>("ratelimit", "store");

/** A ledger of a shared store, and what stands in for it. */
export class GuardedLedger {
  readonly #settings: GuardSettings;
  /** Counts this process's share while the store is not asked. */
  readonly #local: Ledger | undefined;
  readonly #shares = new WeakMap<Limit, Limit>();
  #askAgainAt = -Infinity;

  constructor(
    private readonly ledger: Ledger,
    settings: GuardSettings,
  ) {
    this.#settings = settings;
    const { clock, limiter } = settings;
    if (settings.onStoreError === "local")
      this.#local = memoryRateLimitStore({ clock }).open(
        limiter,
        settings.limits.map((limit) => this.#share(limit)),
      );
  }

  get state(): "asked" | "open" | "local" | "closed" {
    const { clock, onStoreError } = this.#settings;
    return clock.monotonic() < this.#askAgainAt ? onStoreError : "asked";
  }

  async take(call: LedgerCall, mode: TakeMode, signal?: AbortSignal): Promise<Decision> {
    const { clock, onStoreError, retryMs } = this.#settings;
    if (onStoreError !== "closed" && clock.monotonic() < this.#askAgainAt) return this.#standIn(call, mode);
    try {
      const decision = await this.ledger.take(call, mode, signal);
      this.#askAgainAt = -Infinity;
      return decision;
    } catch (error) {
      this.#heed(error);
      if (onStoreError === "closed" || !isOutage(error)) throw error;
      this.#askAgainAt = clock.monotonic() + retryMs;
      return this.#standIn(call, mode);
    }
  }

  /** Gives back where it was taken. What was allowed without counting was taken nowhere. */
  async refund(
    call: LedgerCall,
    decision: Decision,
    marks: readonly number[],
    signal?: AbortSignal,
  ): Promise<void> {
    if (decision.degraded === "open") return;
    if (decision.degraded === "local") await this.#local?.refund(this.#sharesOf(call), marks);
    else await this.ledger.refund(call, marks, signal);
  }

  async renew(call: LedgerCall, decision: Decision, marks: readonly number[]): Promise<boolean> {
    if (decision.degraded === "open") return true;
    if (decision.degraded === "local") return (await this.#local?.renew(this.#sharesOf(call), marks)) ?? true;
    return this.ledger.renew(call, marks);
  }

  async block(call: LedgerCall, forMs: number, signal?: AbortSignal): Promise<void> {
    await this.#local?.block(this.#sharesOf(call), forMs);
    await this.ledger.block(call, forMs, signal);
  }

  async reset(call: LedgerCall, signal?: AbortSignal): Promise<void> {
    await this.#local?.reset(this.#sharesOf(call));
    await this.ledger.reset(call, signal);
  }

  async #standIn(call: LedgerCall, mode: TakeMode): Promise<Decision> {
    if (this.#local === undefined) {
      const untouched = call.limits.map((limit) => ({
        limit,
        remaining: limit.quota,
        retryAfterMs: 0,
        growsInMs: 0,
        resetMs: 0,
      }));
      return decidedDespite(decided(true, untouched), { degraded: "open" });
    }
    const decision = await this.#local.take(this.#sharesOf(call), mode);
    return decision.allowed
      ? decidedDespite(decision, { degraded: "local" })
      : { ...decided(false, decision.standings), degraded: "local" };
  }

  /** The share of a whole cost may be larger than a share of the limit: then it takes all of that. */
  #sharesOf({ subject, cost, limits }: LedgerCall): LedgerCall {
    const shares = limits.map((limit) => this.#share(limit));
    const costs = shares.map(
      (share, index) => [share.name, Math.min(costFor(cost, limits[index]!), share.quota)] as const,
    );
    return { subject, cost: Object.fromEntries(costs), limits: shares };
  }

  #share(limit: Limit): Limit {
    const known = this.#shares.get(limit);
    if (known !== undefined) return known;
    const share = limit.share(this.#settings.instances);
    this.#shares.set(limit, share);
    return share;
  }

  #heed(error: unknown): void {
    if (!storeFailed.hasSubscribers || !isOutage(error)) return;
    const { limiter, onStoreError } = this.#settings;
    storeFailed.publish({ limiter, answer: onStoreError, error: asError(error) });
  }
}

function isOutage(error: unknown): boolean {
  return hasCode(error, "STORE_UNAVAILABLE");
}
