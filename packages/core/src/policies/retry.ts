// Retry: tries again what failed, after a wait, within every limit it has been given.
import { asError } from "../errors/errors.ts";
import { hasCode } from "../errors/holdfast-error.ts";
import { optionsOf } from "../options.ts";
import type { Random } from "../random.ts";
import { systemRandom } from "../random.ts";
import { channel } from "../telemetry/channel.ts";
import { notify } from "../telemetry/notify.ts";
import type { Clock, TimerOptions } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { formatDuration, parseDuration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { Backoff } from "./backoff.ts";
import { exponential } from "./backoff.ts";
import type { CallContext, Context, RunOptions } from "./context.ts";
import { contextOf } from "./context.ts";
import type { Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";
import { retryAfterOf } from "./retry-after.ts";
import type { RetryBudget } from "./retry-budget.ts";

export interface RetryOptions {
  /** @defaultValue "retry" */
  readonly name?: string;
  /** Tries in all, the first included. From 1. @defaultValue 3 */
  readonly attempts?: number;
  /** The waits between tries. @defaultValue exponential(): from 100 ms to 30 s, full jitter */
  readonly backoff?: Backoff;
  /**
   * Whether an error is worth another try. Never asked once the caller has aborted.
   * @defaultValue every error but `InvalidOptionError`
   */
  readonly retryOn?: (error: unknown, context: Context) => boolean;
  /**
   * Whether a value counts as a failure, such as a `Response` with status 503. One that is still refused after
   * the last try is what the call answers. @defaultValue no value does
   */
  readonly retryResult?: (value: unknown, context: Context) => boolean;
  /**
   * How long a failure (the error or the refused value) asks to wait; `false` never looks. It is a floor: the
   * backoff's wait, jitter and all, comes on top, so that clients told the same second do not return in the same
   * second. @defaultValue retryAfterOf
   */
  readonly retryAfter?: ((failure: unknown) => Duration | undefined) | false;
  /** A failure that asks to wait longer than this fails at once. @defaultValue "1m" */
  readonly maxRetryAfter?: Duration;
  /**
   * No try starts later than this after the call began; a wait that would end beyond it is not begun. A try that
   * runs is not cut short: that is what `timeout` is for. @defaultValue unlimited
   */
  readonly maxElapsed?: Duration;
  /** Bounds the extra load, shared with other policies. @defaultValue none */
  readonly budget?: RetryBudget;
  /**
   * Whether a wait between tries keeps the process running. With `true` a script that awaits the call sees it
   * through; with `false` a process that has nothing else to do ends in the middle of a wait, the call unsettled:
   * choose it for background work that should not delay an exit. @defaultValue true
   */
  readonly keepAlive?: boolean;
  /** Told before each wait. What it throws changes nothing. */
  readonly onRetry?: (event: RetryEvent) => unknown;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** Published as `holdfast:core:retry`, and given to `onRetry`, before the wait for another try. */
export interface RetryEvent {
  readonly policy: string;
  /** The try that failed, from 1. */
  readonly attempt: number;
  /** The wait that follows, in milliseconds. */
  readonly delayMs: number;
  /** How long the failure asked to wait, in milliseconds, where it did. */
  readonly retryAfterMs?: number;
  /** What was thrown; absent when a value was refused. */
  readonly error?: unknown;
  /** The refused value; absent when something was thrown. Here an unread response body can be discarded. */
  readonly result?: unknown;
}

/** Why there is no further try. */
export type RetryStop =
  "attempts" | "budget" | "deadline" | "max_elapsed" | "not_repeatable" | "not_retryable" | "retry_after";

/** Published as `holdfast:core:retry_exhausted` when a failed call is given up; not when its caller aborts it. */
export interface RetryExhaustedEvent {
  readonly policy: string;
  readonly reason: RetryStop;
  /** Tries made. */
  readonly attempts: number;
  /** What the last try threw; absent when its value was refused. */
  readonly error?: unknown;
}

/** The defaults of `retry`. */
export const RETRY_DEFAULTS: { readonly attempts: number; readonly maxRetryAfterMs: number } = {
  attempts: 3,
  maxRetryAfterMs: 60_000,
};

const retried = /* @__PURE__ */ channel<RetryEvent>("core", "retry");
const exhausted = /* @__PURE__ */ channel<RetryExhaustedEvent>("core", "retry_exhausted");

/**
 * Tries a task again when it fails. The last error is rethrown as it was (what is not an Error is wrapped), a
 * caller's abort ends a wait at once and rejects with `signal.reason`, untouched. A call that fails is given up
 * early, with the error at hand, when another try could not help: the wait would outlast `maxElapsed` or the
 * deadline around the call, the budget is spent, or the call was declared `idempotent: false` without a key.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { exponential, retry } from "@holdfast/core";
 *
 * const patient = retry({ attempts: 5, backoff: exponential({ base: 1 }), maxElapsed: "10s" });
 * const answer = await patient.run(({ attempt }) => {
 *   if (attempt < 3) throw new Error("not yet");
 *   return `done at try ${attempt}`;
 * });
 * answer; // => "done at try 3"
 * ```
 */
export function retry(options: RetryOptions = {}): Policy {
  const check = optionsOf("retry");
  check.object("options", options);
  const { retryAfter } = options;
  const clock = options.clock ?? systemClock;
  return new Retry({
    name: check.string("name", options.name, 255, "retry"),
    attempts: check.integer("attempts", options.attempts, { min: 1 }, RETRY_DEFAULTS.attempts),
    backoff: options.backoff === undefined ? exponential() : check.object("backoff", options.backoff),
    retryOn: check.function("retryOn", options.retryOn) ?? isRetryable,
    retryResult: check.function("retryResult", options.retryResult),
    retryAfter:
      retryAfter === false
        ? () => undefined
        : (check.function("retryAfter", retryAfter) ?? ((failure) => retryAfterOf(failure, clock.now()))),
    maxRetryAfterMs: check.duration(
      "maxRetryAfter",
      options.maxRetryAfter,
      {},
      RETRY_DEFAULTS.maxRetryAfterMs,
    ),
    maxElapsedMs:
      options.maxElapsed === undefined ? Infinity : check.duration("maxElapsed", options.maxElapsed),
    budget: options.budget === undefined ? undefined : check.object("budget", options.budget),
    wait: { keepAlive: check.boolean("keepAlive", options.keepAlive, true) },
    onRetry: check.function("onRetry", options.onRetry),
    clock,
    random: check.function("random", options.random) ?? systemRandom,
  });
}

interface Settings {
  readonly name: string;
  readonly attempts: number;
  readonly backoff: Backoff;
  readonly retryOn: (error: unknown, context: Context) => boolean;
  readonly retryResult: ((value: unknown, context: Context) => boolean) | undefined;
  readonly retryAfter: (failure: unknown) => Duration | undefined;
  readonly maxRetryAfterMs: number;
  readonly maxElapsedMs: number;
  readonly budget: RetryBudget | undefined;
  readonly wait: TimerOptions;
  readonly onRetry: ((event: RetryEvent) => unknown) | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** How a try ended. A value is a failure too once `retryResult` has refused it. */
type Outcome<T> =
  { readonly threw: true; readonly error: unknown } | { readonly threw: false; readonly value: T };

/** Another try after a wait, or none and why. */
type Plan =
  | { readonly stop: RetryStop }
  | { readonly stop: undefined; readonly delayMs: number; readonly state: number; readonly askedMs?: number };

class Retry implements Policy {
  readonly kind = "retry";
  readonly name: string;

  constructor(private readonly settings: Settings) {
    this.name = settings.name;
  }

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    const outer = contextOf(options);
    const { budget } = this.settings;
    if (budget !== undefined && outer.countedBy !== budget) return this.#counted(task, outer, budget);
    return this.#run(task, outer);
  }

  snapshot(): PolicySnapshot {
    const { attempts, backoff, budget } = this.settings;
    const own = { kind: this.kind, name: this.name, attempts, backoff: backoff.summary };
    return budget === undefined ? own : { ...own, budget: budget.snapshot() };
  }

  describe(): PolicyDescription {
    const { attempts, backoff, maxElapsedMs } = this.settings;
    const limit = maxElapsedMs === Infinity ? "" : `, none later than ${formatDuration(maxElapsedMs)}`;
    const times = attempts === 1 ? "tries once" : `tries up to ${attempts} times, ${backoff.summary}${limit}`;
    return { kind: this.kind, name: this.name, summary: times, maxRuns: attempts };
  }

  async #counted<T>(task: Task<T>, outer: CallContext, budget: RetryBudget): Promise<T> {
    budget.callBegan();
    try {
      return await this.#run(task, outer.withBudget(budget));
    } finally {
      budget.callEnded();
    }
  }

  // The first try has a path of its own: one that succeeds costs an await and, with luck, nothing else.
  async #run<T>(task: Task<T>, outer: CallContext): Promise<T> {
    outer.throwIfAborted();
    const { retryResult, maxElapsedMs, clock } = this.settings;
    const context = outer.attempt === 1 ? outer : outer.withAttempt(1);
    const startedAt = maxElapsedMs === Infinity ? 0 : clock.monotonic();
    let value: T;
    try {
      value = await task(context);
    } catch (error) {
      return this.#repeat(task, context, { threw: true, error }, startedAt);
    }
    if (retryResult === undefined || !retryResult(value, context)) return value;
    return this.#repeat(task, context, { threw: false, value }, startedAt);
  }

  async #repeat<T>(
    task: Task<T>,
    first: CallContext,
    firstFailure: Outcome<T>,
    startedAt: number,
  ): Promise<T> {
    const { budget, retryResult } = this.settings;
    let context = first;
    let failure = firstFailure;
    let state = 0;
    for (;;) {
      context.throwIfAborted();
      const plan = this.#plan(failure, context, state, startedAt);
      if (plan.stop !== undefined) return this.#giveUp(failure, context, plan.stop);
      state = plan.state;
      try {
        this.#announce(failure, context, plan.delayMs, plan.askedMs);
        await this.#wait(plan.delayMs, context);
        // The abort may have come between the timer and this line.
        context.throwIfAborted();
        context = context.withAttempt(context.attempt + 1);
        failure = await outcomeOf(task, context);
      } finally {
        budget?.extraEnded();
      }
      if (!failure.threw && retryResult?.(failure.value, context) !== true) return failure.value;
    }
  }

  /** Whether and when to try again. Takes an extra run from the budget when the answer is yes. */
  #plan(failure: Outcome<unknown>, context: CallContext, state: number, startedAt: number): Plan {
    const { retryOn, attempts, backoff, random, budget, maxElapsedMs, maxRetryAfterMs, clock } =
      this.settings;
    if (failure.threw && !retryOn(failure.error, context)) return { stop: "not_retryable" };
    if (context.attempt >= attempts) return { stop: "attempts" };
    if (!context.repeatable) return { stop: "not_repeatable" };

    // What is not a duration, such as the NaN of a header that was not a number, says nothing.
    const asked = parseDuration(this.settings.retryAfter(failure.threw ? failure.error : failure.value));
    const askedMs = asked ?? 0;
    const elapsedLeft = maxElapsedMs === Infinity ? Infinity : maxElapsedMs - (clock.monotonic() - startedAt);
    const deadlineLeft = context.remainingMs;
    if (askedMs > Math.min(maxRetryAfterMs, elapsedLeft) || (asked !== undefined && askedMs >= deadlineLeft))
      return { stop: "retry_after" };

    const step = backoff.next(context.attempt, state, random);
    const delayMs = askedMs + step.delayMs;
    if (delayMs > elapsedLeft) return { stop: "max_elapsed" };
    if (delayMs >= deadlineLeft) return { stop: "deadline" };
    if (budget?.tryExtra() === false) return { stop: "budget" };
    return asked === undefined
      ? { stop: undefined, delayMs, state: step.state }
      : { stop: undefined, delayMs, state: step.state, askedMs };
  }

  #giveUp<T>(failure: Outcome<T>, context: CallContext, reason: RetryStop): T {
    if (exhausted.hasSubscribers) {
      const event = { policy: this.name, reason, attempts: context.attempt };
      exhausted.publish(failure.threw ? { ...event, error: failure.error } : event);
    }
    if (failure.threw) throw asError(failure.error);
    return failure.value;
  }

  #announce(failure: Outcome<unknown>, context: CallContext, delayMs: number, askedMs?: number): void {
    const { onRetry } = this.settings;
    if (onRetry === undefined && !retried.hasSubscribers) return;
    const event: RetryEvent = {
      policy: this.name,
      attempt: context.attempt,
      delayMs,
      ...(askedMs === undefined ? {} : { retryAfterMs: askedMs }),
      ...(failure.threw ? { error: failure.error } : { result: failure.value }),
    };
    notify(onRetry, event);
    if (retried.hasSubscribers) retried.publish(event);
  }

  #wait(delayMs: number, context: CallContext): Promise<void> {
    const { clock, wait } = this.settings;
    return new Promise((resolve, reject) => {
      const fire = (): void => {
        leave();
        resolve();
      };
      const timer = clock.setTimer(delayMs, fire, wait);
      const leave = context.onAbort((reason) => {
        timer.cancel();
        reject(reason as Error);
      });
    });
  }
}

async function outcomeOf<T>(task: Task<T>, context: CallContext): Promise<Outcome<T>> {
  try {
    return { threw: false, value: await task(context) };
  } catch (error) {
    return { threw: true, error };
  }
}

function isRetryable(error: unknown): boolean {
  return !hasCode(error, "INVALID_OPTION");
}
