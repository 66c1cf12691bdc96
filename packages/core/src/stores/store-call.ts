// One call to a server with a deadline and an abort signal: it always settles, whatever the server does.
import { StoreUnavailableError } from "../errors/errors.ts";
import { listenTo } from "../policies/abort-scope.ts";
import type { Clock } from "../time/clock.ts";
import { formatDuration } from "../time/duration.ts";

export interface StoreCall {
  /** Which store, for messages: `redis`. */
  readonly store: string;
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** How far a call has got. */
export interface StoreCallProgress {
  /** Set right before the first byte that can have an effect is handed to the client. */
  sent: boolean;
  /** Whether the caller has been told already, so that nothing more should be sent. */
  readonly over: boolean;
  /** Called when the caller is told of a timeout or an abort before the work has ended. */
  onOver: (() => void) | undefined;
}

/**
 * Runs `work` and settles with it, or when time is up, or when the signal aborts: with the signal's reason. What
 * comes later is dropped.
 *
 * @throws StoreUnavailableError with reason `timeout`; its outcome is `none` if nothing was sent.
 */
export function callStore<T>(call: StoreCall, work: (progress: StoreCallProgress) => Promise<T>): Promise<T> {
  const { store, deadlineMs, clock, signal } = call;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const progress: Mutable<StoreCallProgress> = { sent: false, over: false, onOver: undefined };
    const end = (): boolean => {
      if (progress.over) return false;
      progress.over = true;
      timer.cancel();
      leave?.();
      return true;
    };
    const giveUp = (): boolean => {
      const first = end();
      if (first) progress.onOver?.();
      return first;
    };
    const timer = clock.setTimer(deadlineMs, () => {
      if (!giveUp()) return;
      const message = `no answer within ${formatDuration(deadlineMs)}`;
      const outcome = progress.sent ? "unknown" : "none";
      reject(new StoreUnavailableError(store, message, { reason: "timeout", outcome }));
    });
    const leave =
      signal === undefined
        ? undefined
        : listenTo(signal, (reason) => {
            if (giveUp()) reject(reason as Error);
          });
    work(progress).then(
      (value) => {
        if (end()) resolve(value);
      },
      (error: unknown) => {
        if (end()) reject(error as Error);
      },
    );
  });
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };
