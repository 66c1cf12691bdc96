// Chaos: makes a share of the calls slow or faulty on purpose, to see whether everything around them copes.
import { optionsOf } from "../options.ts";
import type { Random } from "../random.ts";
import { systemRandom } from "../random.ts";
import { channel } from "../telemetry/channel.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { formatDuration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { CallContext, Context, RunOptions } from "./context.ts";
import { contextOf } from "./context.ts";
import type { Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";

/** Which calls are disturbed. */
export interface ChaosOptions {
  /** @defaultValue the kind of chaos, such as "chaos-fault" */
  readonly name?: string;
  /** Share of the calls that are disturbed. From 0 to 1. */
  readonly rate: number;
  /** Which calls can be disturbed at all. @defaultValue all */
  readonly when?: (context: Context) => boolean;
  /** The switch; a function is asked at each call. @defaultValue true */
  readonly enabled?: boolean | (() => boolean);
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** Published as `holdfast:core:chaos` whenever a call is disturbed. */
export interface ChaosEvent {
  readonly policy: string;
  readonly attempt: number;
  readonly disturbance: "latency" | "fault" | "result" | "behavior";
}

const disturbed = /* @__PURE__ */ channel<ChaosEvent>("core", "chaos");

/**
 * Makes a share of the calls wait before they start. An abort ends the wait at once.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { chaosLatency, pipeline, timeout } from "@holdfast/core";
 *
 * // Chaos goes innermost, so that every other policy meets it.
 * const slow = pipeline(timeout("20ms"), chaosLatency("1h", { rate: 1 }));
 * const error = await slow.run(() => "never").catch((thrown) => thrown.code);
 * error; // => "TIMEOUT"
 * ```
 */
export function chaosLatency(
  latency: Duration,
  options: ChaosOptions & { /** @defaultValue systemClock */ readonly clock?: Clock },
): Policy {
  const latencyMs = optionsOf("chaosLatency").duration("latency", latency);
  const clock = options.clock ?? systemClock;
  const summary = `waits ${formatDuration(latencyMs)} before`;
  return new Chaos<never>("latency", summary, options, async (task, context) => {
    await wait(clock, latencyMs, context);
    return task(context);
  });
}

/**
 * Makes a share of the calls fail instead of running their task.
 *
 * @param error - What to throw, or a function that makes it.
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { chaosFault } from "@holdfast/core";
 *
 * const flaky = chaosFault(() => new Error("injected"), { rate: 0.1, enabled: () => false });
 * await flaky.run(() => "all right"); // => "all right"
 * ```
 */
export function chaosFault(error: Error | ((context: Context) => Error), options: ChaosOptions): Policy {
  return new Chaos<never>("fault", "fails instead of", options, (_task, context) => {
    throw typeof error === "function" ? error(context) : error;
  });
}

/**
 * Makes a share of the calls answer something else instead of running their task.
 *
 * @param result - What to answer, or a function that makes it.
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { chaosResult } from "@holdfast/core";
 *
 * const empty = chaosResult([], { rate: 1 });
 * await empty.run(() => [1, 2, 3]); // => []
 * ```
 */
export function chaosResult<R>(
  result: (context: Context) => R | PromiseLike<R>,
  options: ChaosOptions,
): Policy<R>;
export function chaosResult<const R>(result: R, options: ChaosOptions): Policy<R>;
export function chaosResult<R>(
  result: R | ((context: Context) => R | PromiseLike<R>),
  options: ChaosOptions,
): Policy<R> {
  const make = typeof result === "function" ? (result as (context: Context) => R) : () => result;
  return new Chaos<R>("result", "answers something else instead of", options, async (_task, context) =>
    make(context),
  );
}

/**
 * Does something before a share of the calls: closes a connection, fills a disk, kills a child process. What it
 * throws is the call's failure; otherwise the task runs.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { chaosBehavior } from "@holdfast/core";
 *
 * const cache = new Map([["k", 1]]);
 * const forgetful = chaosBehavior(() => cache.clear(), { rate: 1 });
 * await forgetful.run(() => cache.size); // => 0
 * ```
 */
export function chaosBehavior(
  behavior: (context: Context) => void | PromiseLike<void>,
  options: ChaosOptions,
): Policy {
  if (typeof behavior !== "function")
    return optionsOf("chaosBehavior").refuse("behavior", behavior, "a function");
  return new Chaos<never>("behavior", "does something before", options, async (task, context) => {
    await behavior(context);
    return task(context);
  });
}

/** What happens to a call that is disturbed. */
type Disturb<R> = <T>(task: Task<T>, context: CallContext) => Promise<T | R>;

class Chaos<R> implements Policy<R> {
  readonly kind = "chaos";
  readonly name: string;
  readonly #rate: number;
  readonly #when: ChaosOptions["when"];
  readonly #enabled: boolean | (() => boolean);
  readonly #random: Random;
  #calls = 0;
  #disturbed = 0;

  constructor(
    private readonly disturbance: ChaosEvent["disturbance"],
    private readonly summary: string,
    options: ChaosOptions,
    private readonly disturb: Disturb<R>,
  ) {
    const owner = `chaos${disturbance.charAt(0).toUpperCase()}${disturbance.slice(1)}`;
    const check = optionsOf(owner);
    check.object("options", options);
    this.name = check.string("name", options.name, 255, `chaos-${disturbance}`);
    this.#rate = check.number("rate", options.rate, { min: 0, max: 1 });
    this.#when = check.function("when", options.when);
    this.#enabled =
      typeof options.enabled === "function"
        ? options.enabled
        : check.boolean("enabled", options.enabled, true);
    this.#random = check.function("random", options.random) ?? systemRandom;
  }

  async run<T>(task: Task<T>, options?: RunOptions): Promise<T | R> {
    const context = contextOf(options);
    context.throwIfAborted();
    this.#calls += 1;
    if (!this.#strikes(context)) return task(context);
    this.#disturbed += 1;
    if (disturbed.hasSubscribers)
      disturbed.publish({ policy: this.name, attempt: context.attempt, disturbance: this.disturbance });
    return this.disturb(task, context);
  }

  snapshot(): PolicySnapshot {
    return {
      kind: this.kind,
      name: this.name,
      disturbance: this.disturbance,
      enabled: this.#isEnabled(),
      rate: this.#rate,
      calls: this.#calls,
      disturbed: this.#disturbed,
    };
  }

  describe(): PolicyDescription {
    const share = Math.round(this.#rate * 10_000) / 100;
    return { kind: this.kind, name: this.name, summary: `${this.summary} ${share} % of the calls` };
  }

  /** Draws only for calls that can be disturbed, so that a seed gives the same faults to the same calls. */
  #strikes(context: Context): boolean {
    return this.#isEnabled() && this.#when?.(context) !== false && this.#random() < this.#rate;
  }

  #isEnabled(): boolean {
    return typeof this.#enabled === "function" ? this.#enabled() : this.#enabled;
  }
}

function wait(clock: Clock, ms: number, context: CallContext): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(ms, () => {
      leave();
      resolve();
    });
    const leave = context.onAbort((reason) => {
      timer.cancel();
      reject(reason as Error);
    });
  });
}
