// The requests that wait or run, and when something is to be decided about each.
import type { DropReason, ScheduledRequest, SchedulerCommand } from "./contract.ts";
import type { Estimates } from "./estimates.ts";
import { IdMap } from "./id-map.ts";
import { RankHeap } from "./rank-heap.ts";
import type { Entry, ModelState, RunningBatch } from "./state.ts";

const NONE: readonly never[] = [];

export class RequestBook<Request extends ScheduledRequest> {
  readonly entries: IdMap<Entry<Request>> = new IdMap();
  /** Models with waiting requests that have a deadline, by the first that becomes hopeless: many small heaps, not one. */
  readonly #hopeless = new RankHeap<ModelState<Request>>(({ index }) => index);
  /** Batches that run, by the first deadline of what they run. */
  readonly #late = new RankHeap<RunningBatch<Request>>(({ slot }) => slot);
  #waiting = 0;

  constructor(
    private readonly estimates: Estimates<Request>,
    private readonly emit: (command: SchedulerCommand<Request>) => void,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  /** When the next deadline is to be looked at. */
  get nextWake(): number {
    return Math.min(this.#hopeless.firstAt, this.#late.firstAt);
  }

  /** From here on until it is forgotten a request is held; it waits. */
  add(entry: Entry<Request>): void {
    this.entries.set(entry.request.id, entry);
    this.estimates.hold(entry.model, 1);
    this.enqueue(entry);
  }

  enqueue(entry: Entry<Request>): void {
    const { model } = entry;
    this.#waiting += 1;
    model.queue.add(entry);
    if (model.queue.firstToWake === entry) this.#hopeless.put(model, 0, entry.wakeAt, entry.order);
  }

  /** Waits no more, such as to run. `settle` its model, once, when all that go with it are out. */
  dequeue(entry: Entry<Request>): void {
    this.#waiting -= 1;
    entry.model.queue.remove(entry);
  }

  settle(model: ModelState<Request>): void {
    const first = model.queue.firstToWake;
    if (first === undefined) this.#hopeless.remove(model);
    else this.#hopeless.put(model, 0, first.wakeAt, first.order);
  }

  /** Its deadlines count from here on until it has ended. */
  started(batch: RunningBatch<Request>): void {
    batch.stopsAt = nextDeadline(batch);
    if (batch.stopsAt < Infinity) this.#late.put(batch, 0, batch.stopsAt, batch.id);
  }

  ended(batch: RunningBatch<Request>): void {
    this.#late.remove(batch);
  }

  /** Drops what cannot end in time any more, stops what has not, and answers the models that have lost some. */
  expire(now: number): readonly ModelState<Request>[] {
    while (this.#late.firstAt <= now) {
      const batch = this.#late.first!;
      for (const entry of batch.entries)
        if (entry.batch === batch && entry.request.deadline <= now && !entry.stopped)
          this.stop(entry, batch, "deadline");
      this.#late.remove(batch);
      this.started(batch);
    }
    // Made when there is one: mostly there is none, and this runs at every event.
    let thinned: Set<ModelState<Request>> | undefined;
    while (this.#hopeless.firstAt <= now) {
      const model = this.#hopeless.first!;
      const entry = model.queue.firstToWake!;
      const due = entry.request.deadline - model.leastMs;
      if (due > now) {
        // Its model has been faster since this moment was set.
        model.queue.wakeAt(entry, due);
        this.settle(model);
      } else {
        this.drop(entry, "deadline");
        thinned ??= new Set();
        thinned.add(model);
      }
    }
    return thinned === undefined ? NONE : [...thinned];
  }

  /** Takes a waiting request out. */
  drop(entry: Entry<Request>, why: DropReason): void {
    this.dequeue(entry);
    this.settle(entry.model);
    this.forget(entry);
    this.emit({ type: "drop", request: entry.request, why });
  }

  /** Tells a running request to stop. */
  stop(entry: Entry<Request>, batch: RunningBatch<Request>, why: "cancelled" | "deadline"): void {
    entry.stopped = true;
    batch.isDisturbed = true;
    this.emit({ type: "stop", request: entry.request, device: batch.device.id, why });
  }

  forget(entry: Entry<Request>): void {
    this.entries.delete(entry.request.id);
    this.estimates.hold(entry.model, -1);
  }
}

function nextDeadline<R extends ScheduledRequest>(running: RunningBatch<R>): number {
  let first = Infinity;
  for (const { request, stopped, batch } of running.entries)
    if (batch === running && !stopped) first = Math.min(first, request.deadline);
  return first;
}
