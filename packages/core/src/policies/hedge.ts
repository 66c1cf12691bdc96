// Hedge: starts the task again when the first run is slow, and takes whichever answers first.
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import { notify } from "../telemetry/notify.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { formatDuration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { Context, RunOptions } from "./context.ts";
import { contextOf } from "./context.ts";
import type { HedgeSettings } from "./hedged-call.ts";
import { HedgedCall } from "./hedged-call.ts";
import { LatencyPercentile } from "./latency-percentile.ts";
import type { Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";
import type { RetryBudget } from "./retry-budget.ts";

/** A delay that follows the latencies seen: about `100 - percentile` of 100 calls are hedged. */
export interface HedgeDelay {
  /** From 50 to 99.9; 95 hedges the slowest twentieth, as in the paper. */
  readonly percentile: number;
  /** The delay until enough latencies are known for the percentile to mean something. */
  readonly initial: Duration;
  /** Never shorter than this. From 1 ms. @defaultValue "1ms" */
  readonly min?: Duration;
  /** Never longer than this. @defaultValue unlimited */
  readonly max?: Duration;
}

export interface HedgeOptions {
  /** @defaultValue "hedge" */
  readonly name?: string;
  /** How long the latest run may take before another is started. From 1 ms when it is fixed. */
  readonly delay: Duration | HedgeDelay;
  /** Runs started besides the first, at most. From 1 to 10. @defaultValue 1 */
  readonly maxHedges?: number;
  /** Bounds the extra load, shared with other policies. @defaultValue none */
  readonly budget?: RetryBudget;
  /** Hedges per call, at most, over this policy's lifetime: 0.05 is 5 %. Above 0, to 1. @defaultValue none */
  readonly maxExtraLoad?: number;
  /**
   * Whether an error leaves hope in another run. One that does not is the call's answer at once, and the other
   * runs are aborted. When it throws, the call fails with that. @defaultValue every error does
   */
  readonly hedgeOn?: (error: unknown, context: Context) => boolean;
  /** Told when another run is started. What it throws changes nothing. */
  readonly onHedge?: (event: HedgeEvent) => unknown;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Published as `holdfast:core:hedge`, and given to `onHedge`, when another run is started. */
export interface HedgeEvent {
  readonly policy: string;
  readonly attempt: number;
  /** Which extra run it is, from 1. */
  readonly hedge: number;
  /** Why: the latest run was slow, or one has failed. */
  readonly because: "slow" | "failed";
  /** Time since the call began, in milliseconds. */
  readonly afterMs: number;
}

/** Published as `holdfast:core:hedge_denied` when another run was due and not allowed. */
export interface HedgeDeniedEvent {
  readonly policy: string;
  readonly attempt: number;
  readonly by: "budget" | "max_extra_load";
}

/** Published as `holdfast:core:hedge_settled` when a call that was hedged succeeds or fails; not when it is aborted. */
export interface HedgeSettledEvent {
  readonly policy: string;
  readonly attempt: number;
  /** Extra runs that were started. */
  readonly hedges: number;
  /** Which run won, 0 being the first; absent when the call failed. */
  readonly winner?: number;
  /** What the runs failed with so far, by run. The call rejects with the first of them. */
  readonly errors: readonly { readonly run: number; readonly error: unknown }[];
}

/** The defaults of `hedge`. */
export const HEDGE_DEFAULTS: { readonly maxHedges: number; readonly minDelayMs: number } = {
  maxHedges: 1,
  minDelayMs: 1,
};

const hedged = /* @__PURE__ */ channel<HedgeEvent>("core", "hedge");
const denied = /* @__PURE__ */ channel<HedgeDeniedEvent>("core", "hedge_denied");
const settled = /* @__PURE__ */ channel<HedgeSettledEvent>("core", "hedge_settled");

/**
 * Starts another run of a task that has not answered after `delay`, and takes the first success: the tail of the
 * latencies is cut for little extra load (Dean & Barroso, "The Tail at Scale", CACM 2013).
 *
 * - Each run has a signal of its own. The losers' are aborted with a `HedgeLostError`; the winner's never
 *   is, so that what it answered, such as a response body, can still be read.
 * - A run that fails starts the next at once, if one is left. The call fails when the last run has failed and no
 *   other may start, with the error of the first run that failed, untouched.
 * - A budget that denies a run stops new ones in this call; runs in flight go on.
 * - Work declared `idempotent: false` without a key is run once. The task sees which run it is as
 *   `context.hedge`.
 * - A caller's abort ends all runs at once and rejects with `signal.reason`.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { hedge } from "@holdfast/core";
 *
 * const twoReplicas = hedge({ delay: { percentile: 95, initial: "20ms" }, maxExtraLoad: 0.1 });
 * const replicas = ["a", "b"];
 * await twoReplicas.run(async (context) => replicas[context.hedge]); // => "a"
 * ```
 */
export function hedge(options: HedgeOptions): Policy {
  const check = optionsOf("hedge");
  check.object("options", options);
  return new Hedge(
    check.string("name", options.name, 255, "hedge"),
    delayOf(options.delay),
    check.integer("maxHedges", options.maxHedges, { min: 1, max: 10 }, HEDGE_DEFAULTS.maxHedges),
    options.budget === undefined ? undefined : check.object("budget", options.budget),
    options.maxExtraLoad === undefined
      ? undefined
      : check.number("maxExtraLoad", options.maxExtraLoad, { min: 0.0001, max: 1 }),
    check.function("hedgeOn", options.hedgeOn),
    check.function("onHedge", options.onHedge),
    options.clock ?? systemClock,
  );
}

/** The present delay, and what it learns from. */
interface Delay {
  readonly summary: string;
  currentMs(): number;
  learn(latencyMs: number): void;
}

/** Hedges that may be saved up under `maxExtraLoad`, so that a slow moment after a long calm is covered. */
const MAX_SAVED_HEDGES = 10;

class Hedge implements Policy, HedgeSettings {
  readonly kind = "hedge";
  readonly #wins: number[];
  #runs = 0;
  #hedgedCalls = 0;
  #hedges = 0;
  #deniedByBudget = 0;
  #deniedByLoad = 0;
  /** Hedges that `maxExtraLoad` allows now. */
  #saved = 0;

  constructor(
    readonly name: string,
    private readonly delay: Delay,
    readonly maxHedges: number,
    readonly budget: RetryBudget | undefined,
    private readonly maxExtraLoad: number | undefined,
    readonly hedgeOn: HedgeOptions["hedgeOn"],
    private readonly onHedge: HedgeOptions["onHedge"],
    readonly clock: Clock,
  ) {
    this.#wins = Array.from({ length: maxHedges + 1 }, () => 0);
  }

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const outer = contextOf(options);
      outer.throwIfAborted();
      this.#runs += 1;
      if (this.maxExtraLoad !== undefined)
        this.#saved = Math.min(MAX_SAVED_HEDGES, this.#saved + this.maxExtraLoad);
      new HedgedCall<T>(this, task, outer, this.delay.currentMs(), resolve, reject).start();
    });
  }

  allows(attempt: number): boolean {
    // A hair less than 1, because twenty times 0.05 may be.
    const byLoad = this.maxExtraLoad !== undefined && this.#saved < 1 - 1e-9;
    if (!byLoad && this.budget?.tryExtra() !== false) {
      if (this.maxExtraLoad !== undefined) this.#saved -= 1;
      return true;
    }
    if (byLoad) this.#deniedByLoad += 1;
    else this.#deniedByBudget += 1;
    if (denied.hasSubscribers)
      denied.publish({ policy: this.name, attempt, by: byLoad ? "max_extra_load" : "budget" });
    return false;
  }

  hedging(event: Omit<HedgeEvent, "policy">): void {
    this.#hedges += 1;
    if (event.hedge === 1) this.#hedgedCalls += 1;
    if (this.onHedge === undefined && !hedged.hasSubscribers) return;
    const whole: HedgeEvent = { policy: this.name, ...event };
    notify(this.onHedge, whole);
    if (hedged.hasSubscribers) hedged.publish(whole);
  }

  won(run: number): void {
    this.#wins[run]! += 1;
  }

  settled(event: Omit<HedgeSettledEvent, "policy">): void {
    if (settled.hasSubscribers) settled.publish({ policy: this.name, ...event });
  }

  learn(latencyMs: number): void {
    this.delay.learn(latencyMs);
  }

  snapshot(): PolicySnapshot {
    return {
      kind: this.kind,
      name: this.name,
      runs: this.#runs,
      hedgedRuns: this.#hedgedCalls,
      hedges: this.#hedges,
      winsByHedge: [...this.#wins],
      deniedByBudget: this.#deniedByBudget,
      deniedByMaxExtraLoad: this.#deniedByLoad,
      delayMs: this.delay.currentMs(),
      ...(this.budget === undefined ? {} : { budget: this.budget.snapshot() }),
    };
  }

  describe(): PolicyDescription {
    const more = this.maxHedges === 1 ? "a second run" : `up to ${this.maxHedges} more runs`;
    const summary = `starts ${more} after ${this.delay.summary}, takes the first success`;
    return { kind: this.kind, name: this.name, summary, maxRuns: this.maxHedges + 1 };
  }
}

function delayOf(delay: Duration | HedgeDelay): Delay {
  const check = optionsOf("hedge");
  if (typeof delay !== "object" || delay === null) {
    const ms = check.duration("delay", delay, { min: 1 });
    return { summary: formatDuration(ms), currentMs: () => ms, learn: () => {} };
  }
  const percentile = check.number("delay.percentile", delay.percentile, { min: 50, max: 99.9 });
  const minMs = check.duration("delay.min", delay.min, { min: 1 }, HEDGE_DEFAULTS.minDelayMs);
  const maxMs = delay.max === undefined ? Infinity : check.duration("delay.max", delay.max, { min: minMs });
  const initialMs = check.duration("delay.initial", delay.initial, { min: minMs, max: maxMs });
  const latencies = new LatencyPercentile(percentile);
  // Fewer samples than this have none beyond the percentile to speak of.
  const enough = Math.max(10, Math.ceil(100 / (100 - percentile)));
  return {
    summary: `the ${percentile}th percentile of latency`,
    currentMs: () =>
      latencies.samples < enough
        ? initialMs
        : Math.min(maxMs, Math.max(minMs, latencies.valueMs ?? initialMs)),
    learn: (latencyMs) => latencies.add(latencyMs),
  };
}
