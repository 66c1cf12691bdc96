// Timeout: gives a task a limited time, and tells it so through its signal.
import { asError, TimeoutError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { formatDuration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { CallContext, RunOptions } from "./context.ts";
import { contextOf, startTask } from "./context.ts";
import type { Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";

/** What a timeout does with a task that ignores its signal. */
export type TimeoutStrategy = "racing" | "cooperative";

export interface TimeoutOptions {
  /** @defaultValue "timeout" */
  readonly name?: string;
  /**
   * `"racing"` rejects the moment time is up, while a task that ignores its signal runs on unobserved.
   * `"cooperative"` aborts the signal and waits until the task has really ended: nothing runs on, but a task
   * that ignores its signal takes as long as it takes. @defaultValue "racing"
   */
  readonly strategy?: TimeoutStrategy;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Published as `holdfast:core:timeout` whenever a limit is hit. */
export interface TimeoutEvent {
  readonly policy: string;
  readonly timeoutMs: number;
  readonly attempt: number;
}

const timedOut = /* @__PURE__ */ channel<TimeoutEvent>("core", "timeout");

/**
 * Limits how long a task may take. When time is up the context's signal is aborted with a {@link TimeoutError}
 * and the call rejects with it. Outside a `retry` it limits all tries together, inside it each of them; the
 * task sees what is left of the tightest limit as `context.remainingMs`.
 *
 * @param limit - From 1 ms.
 * @throws InvalidOptionError when `limit` or an option is out of range.
 *
 * @example
 * ```ts
 * import { timeout } from "@holdfast/core";
 *
 * const twoSeconds = timeout("2s");
 * await twoSeconds.run(async ({ remainingMs }) => remainingMs <= 2_000); // => true
 * ```
 */
export function timeout(limit: Duration, options: TimeoutOptions = {}): Policy {
  const check = optionsOf("timeout");
  return new Timeout(
    check.duration("limit", limit, { min: 1 }),
    check.string("name", options.name, 255, "timeout"),
    check.oneOf("strategy", options.strategy, ["racing", "cooperative"], "racing"),
    options.clock ?? systemClock,
  );
}

class Timeout implements Policy {
  readonly kind = "timeout";

  constructor(
    private readonly limitMs: number,
    readonly name: string,
    private readonly strategy: TimeoutStrategy,
    private readonly clock: Clock,
  ) {}

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const outer = contextOf(options);
      outer.throwIfAborted();
      const deadline = { clock: this.clock, at: this.clock.monotonic() + this.limitMs };
      const scope = outer.openScope();
      let expired: TimeoutError | undefined;

      const timer = this.clock.setTimer(this.limitMs, () => {
        // A caller who aborted first gets its own reason, also while a cooperative task winds down.
        if (outer.aborted) return;
        expired = new TimeoutError(this.name, this.limitMs);
        if (timedOut.hasSubscribers) this.#publish(outer);
        if (this.strategy === "racing") {
          reject(expired);
          // Now, not when the task ends: one that never does would keep a listener on the caller's signal.
          leave?.();
        }
        scope.abort(expired);
      });
      // Racing gives up on a caller's abort at once too; cooperative waits for the task to end.
      const leave =
        this.strategy === "racing" && outer.abortable
          ? outer.onAbort((reason) => {
              timer.cancel();
              reject(reason as Error);
            })
          : undefined;
      const settle = (): void => {
        timer.cancel();
        leave?.();
        scope.release();
      };

      startTask(task, outer.within(scope, deadline)).then(
        (value) => {
          settle();
          // A cooperative task that finished although it was told to stop was still too late.
          if (expired === undefined) resolve(value);
          else reject(expired);
        },
        (error: unknown) => {
          settle();
          if (expired !== undefined) reject(expired);
          else reject(outer.aborted ? (outer.reason as Error) : asError(error));
        },
      );
    });
  }

  snapshot(): PolicySnapshot {
    return { kind: this.kind, name: this.name, limitMs: this.limitMs, strategy: this.strategy };
  }

  describe(): PolicyDescription {
    const summary = `gives up after ${formatDuration(this.limitMs)} (${this.strategy})`;
    return { kind: this.kind, name: this.name, summary, limitMs: this.limitMs };
  }

  #publish(outer: CallContext): void {
    timedOut.publish({ policy: this.name, timeoutMs: this.limitMs, attempt: outer.attempt });
  }
}
