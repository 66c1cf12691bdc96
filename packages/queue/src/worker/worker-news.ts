// What a worker publishes; nothing is made unless somebody listens.
import type { Clock } from "@holdfast/core";
import { asError, channel } from "@holdfast/core";
import type { ClaimedTask } from "../store/store.ts";
import type { TaskRun } from "./task-run.ts";
import type { LeftBehindEvent, RunEndedEvent, WorkerErrorEvent } from "./worker-contract.ts";

const workerFailed = /* @__PURE__ */ channel<WorkerErrorEvent>("queue", "worker_error");
const leftBehind = /* @__PURE__ */ channel<LeftBehindEvent>("queue", "left_behind");
const runEnded = /* @__PURE__ */ channel<RunEndedEvent>("queue", "run_ended");

/** Which run of which task. */
type RunName = Pick<RunEndedEvent, "queue" | "worker" | "task" | "id" | "attempt" | "fence">;

export class WorkerNews {
  constructor(
    private readonly queue: string,
    private readonly worker: string,
    private readonly clock: Clock,
  ) {}

  failed(doing: WorkerErrorEvent["doing"], thrown: unknown): void {
    if (workerFailed.hasSubscribers)
      workerFailed.publish({ queue: this.queue, worker: this.worker, doing, error: asError(thrown) });
  }

  left(task: ClaimedTask, how: Pick<LeftBehindEvent, "ended" | "leftBehind" | "concurrency">): void {
    if (leftBehind.hasSubscribers) leftBehind.publish({ ...this.#name(task), ...how });
  }

  ended({ claimed, startedAt }: TaskRun, settlement: RunEndedEvent["settlement"], written: boolean): void {
    if (!runEnded.hasSubscribers) return;
    const durationMs = this.clock.monotonic() - startedAt;
    runEnded.publish({ ...this.#name(claimed), durationMs, settlement, written });
  }

  #name({ name: task, id, attempt, fence }: ClaimedTask): RunName {
    return { queue: this.queue, worker: this.worker, task, id, attempt, fence };
  }
}
