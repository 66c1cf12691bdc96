// Keeps the leases of a worker's runs: renews them in time, and knows when one can no longer be ours.
import type { Clock, Timer } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { TaskRun } from "./task-run.ts";

/** Renewals in the time a lease lasts. */
const BEATS_PER_LEASE = 3;

export class LeaseKeeper {
  #timer: Timer | undefined;
  #stopped = false;
  readonly #clock: Clock;

  constructor(
    private readonly queue: Queue,
    private readonly runs: ReadonlySet<TaskRun>,
    private readonly leaseMs: number,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#clock = queue.clock;
  }

  /** Called when there is a run more. It beats until there is none, so that an idle worker sets no timers. */
  start(): void {
    if (this.#stopped) return;
    this.#timer ??= this.#clock.setTimer(this.#nextBeatMs(), () => {
      this.#timer = undefined;
      this.#beat();
      if (this.runs.size > 0) this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  // A store that does not answer, or an event loop that stood still, must not leave a handler running on a lease
  // that has run out: that is judged here by the clock, without the store.
  #beat(): void {
    const now = this.#clock.monotonic();
    const alive: TaskRun[] = [];
    for (const run of this.runs) {
      if (!run.isOurs) continue;
      if (run.leaseEndsAt <= now) run.loseLease();
      else alive.push(run);
    }
    if (alive.length > 0) void this.#renew(alive, now);
  }

  async #renew(runs: readonly TaskRun[], sentAt: number): Promise<void> {
    try {
      const leases = runs.map(({ claimed: { id, fence } }) => ({ id, fence }));
      const outcomes = await this.queue.store.renew(this.queue.name, leases, this.leaseMs);
      for (const [index, run] of runs.entries()) {
        const outcome = outcomes[index]!;
        if (outcome.written) run.leaseEndsAt = Math.max(run.leaseEndsAt, sentAt + this.leaseMs);
        else if (outcome.cause === "cancelled") run.cancel(outcome.reason);
        else run.loseLease();
      }
    } catch (error) {
      this.onError(error);
    }
  }

  #nextBeatMs(): number {
    const now = this.#clock.monotonic();
    let ms = this.leaseMs / BEATS_PER_LEASE;
    for (const run of this.runs) if (run.isOurs) ms = Math.min(ms, run.leaseEndsAt - now);
    return Math.max(1, ms);
  }
}
