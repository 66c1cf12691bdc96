// Stops the runs of a worker whose time is up, with one timer for all: nearly all of them end long before.
import type { Clock, Timer } from "@holdfast/core";
import type { TaskRun } from "./task-run.ts";

export class TimeLimits {
  #timer: Timer | undefined;
  /** On the clock's monotonic time. A run that ends leaves it as it is: looking once in vain is cheaper. */
  #timerAt = Infinity;

  constructor(
    private readonly clock: Clock,
    private readonly runs: ReadonlySet<TaskRun>,
  ) {}

  /** One more run has started. */
  add({ timeUpAt }: TaskRun): void {
    if (timeUpAt < this.#timerAt) this.#wakeAt(timeUpAt);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #wakeAt(at: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.clock.setTimer(Math.max(0, at - this.clock.monotonic()), () => this.#look());
  }

  #look(): void {
    const now = this.clock.monotonic();
    let next = Infinity;
    for (const run of this.runs)
      if (run.timeUpAt > now) next = Math.min(next, run.timeUpAt);
      else run.timeIsUp();
    this.#timerAt = next;
    if (next < Infinity) this.#wakeAt(next);
  }
}
