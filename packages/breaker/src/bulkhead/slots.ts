// Slots and a bounded line of those who wait for one: strictly in order, never a slot lost.
import type { Clock, Context, RunOptions, Task, Timer } from "@holdfast/core";
import { asError, contextOf } from "@holdfast/core";
import { started } from "../started.ts";
import { Pace } from "./pace.ts";
import { WaitingLine } from "./waiting-line.ts";

/** What a caller's context has besides what tasks see. */
export type CallContext = ReturnType<typeof contextOf>;

export interface SlotSettings {
  /** Most that wait. */
  readonly queue: number;
  /** How long one may wait, in milliseconds; `Infinity` without a limit. */
  readonly queueTimeoutMs: number;
  readonly clock: Clock;
  /** Whether one more may run now. */
  readonly hasRoom: () => boolean;
  readonly refuse: (reason: "full" | "timeout", retryAfterMs: number | undefined) => Error;
  /** Told when one begins; what it answers is told again when that one has really ended, with how it ended. */
  readonly onStart?: () => number;
  readonly onEnd?: (ended: Ended) => void;
  /** Told when one begins to wait (1) and when it waits no more (-1). */
  readonly onWaiting?: (change: 1 | -1) => void;
}

/** How a call that had a slot ended. */
export interface Ended {
  readonly context: Context;
  /** Its caller aborted it: it says nothing. */
  readonly aborted: boolean;
  readonly error: Error | undefined;
  /** On the clock's monotonic time; 0 when nobody asks. */
  readonly startedAt: number;
  /** What `onStart` answered. */
  readonly mark: number;
}

interface Waiter {
  readonly start: () => void;
}

export class Slots {
  #running = 0;
  readonly #line = new WaitingLine<Waiter>();
  readonly #pace = new Pace();

  constructor(private readonly settings: SlotSettings) {}

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#line.size;
  }

  run<T>(task: Task<T>, options: RunOptions | undefined, priority: number): Promise<T> {
    const context = contextOf(options);
    if (context.aborted) return Promise.reject(context.reason as Error);
    // A newcomer never passes those who wait.
    if (this.#line.size === 0 && this.settings.hasRoom()) return this.#start(task, context);
    if (this.#line.size >= this.settings.queue) return Promise.reject(this.#refusal("full"));
    return this.#wait(task, context, priority);
  }

  /** Starts as many of those who wait as there is room for: after a call has ended, and when the room has grown. */
  fill(): void {
    while (this.#line.size > 0 && this.settings.hasRoom()) this.fillOne();
  }

  /** Starts the next of those who wait, if there is room. */
  fillOne(): void {
    if (this.#line.size > 0 && this.settings.hasRoom()) this.#line.take()!.start();
  }

  #start<T>(task: Task<T>, context: CallContext): Promise<T> {
    const { clock, onStart, onEnd } = this.settings;
    const startedAt = onEnd === undefined ? 0 : clock.monotonic();
    this.#running += 1;
    const mark = onStart?.() ?? 0;
    return started(task, context).then(
      (value) => {
        this.#ended(context, undefined, startedAt, mark);
        return value;
      },
      (thrown: unknown) => {
        const error = asError(thrown);
        this.#ended(context, error, startedAt, mark);
        throw context.aborted ? context.reason : error;
      },
    );
  }

  #wait<T>(task: Task<T>, context: CallContext, priority: number): Promise<T> {
    const { queueTimeoutMs, clock, onWaiting } = this.settings;
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      let isWaiting = true;
      const leaveLine = this.#line.join(
        {
          start: () => {
            stopWaiting();
            this.#start(task, context).then(resolve, reject);
          },
        },
        priority,
      );
      onWaiting?.(1);
      const stopWaiting = (): void => {
        if (isWaiting) onWaiting?.(-1);
        isWaiting = false;
        timer?.cancel();
        unfollow?.();
        leaveLine();
      };
      // Both free the place at once, not when a slot frees.
      const unfollow = context.abortable
        ? context.onAbort((reason) => {
            stopWaiting();
            reject(reason as Error);
          })
        : undefined;
      if (queueTimeoutMs !== Infinity)
        timer = clock.setTimer(queueTimeoutMs, () => {
          stopWaiting();
          reject(this.#refusal("timeout"));
        });
    });
  }

  #refusal(reason: "full" | "timeout"): Error {
    const { clock, refuse } = this.settings;
    return refuse(reason, this.#pace.timeFor(this.#line.size + 1, clock.monotonic()));
  }

  #ended(context: CallContext, error: Error | undefined, startedAt: number, mark: number): void {
    this.#running -= 1;
    this.#pace.ended();
    this.settings.onEnd?.({ context, aborted: context.aborted, error, startedAt, mark });
    this.fill();
  }
}
