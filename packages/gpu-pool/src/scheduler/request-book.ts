// The requests that wait or run, and when something is to be decided about each.
import type { DropReason, ScheduledRequest, SchedulerCommand } from "./contract.ts";
import type { Estimates } from "./estimates.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import type { Entry, ModelState, RunningBatch } from "./state.ts";
import { wakesBefore } from "./state.ts";

const NONE: readonly never[] = [];

export class RequestBook<Request extends ScheduledRequest> {
  readonly entries: Map<number, Entry<Request>> = new Map();
  /** Models with waiting requests that have a deadline, by the first that becomes hopeless: many small heaps, not one. */
  readonly #hopeless = new IndexedHeap<ModelState<Request>>(
    (a, b) => a !== b && wakesBefore(a.wakes.first!, b.wakes.first!),
    { of: ({ hopelessPlace }) => hopelessPlace, set: (model, at) => void (model.hopelessPlace = at) },
  );
  /** Batches that run, by the first deadline of what they run. */
  readonly #late = new IndexedHeap<RunningBatch<Request>>(lateBefore, {
    of: ({ latePlace }) => latePlace,
    set: (batch, at) => void (batch.latePlace = at),
  });
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
    return Math.min(
      this.#hopeless.first?.wakes.first?.wakeAt ?? Infinity,
      this.#late.first?.stopsAt ?? Infinity,
    );
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
    if (entry.wakeAt === Infinity) return;
    model.wakes.put(entry);
    if (model.wakes.first === entry) this.#hopeless.put(model);
  }

  dequeue(entry: Entry<Request>): void {
    const { model } = entry;
    this.#waiting -= 1;
    model.queue.remove(entry);
    const wasFirst = model.wakes.first === entry;
    model.wakes.remove(entry);
    if (!wasFirst) return;
    if (model.wakes.size > 0) this.#hopeless.put(model);
    else this.#hopeless.remove(model);
  }

  /** Its deadlines count from here on until it has ended. */
  started(batch: RunningBatch<Request>): void {
    batch.stopsAt = nextDeadline(batch);
    if (batch.stopsAt < Infinity) this.#late.put(batch);
  }

  ended(batch: RunningBatch<Request>): void {
    this.#late.remove(batch);
  }

  /** Drops what cannot end in time any more, stops what has not, and answers the models that have lost some. */
  expire(now: number): Iterable<ModelState<Request>> {
    for (
      let batch = this.#late.first;
      batch !== undefined && batch.stopsAt <= now;
      batch = this.#late.first
    ) {
      for (const entry of batch.entries)
        if (entry.batch === batch && entry.request.deadline <= now && !entry.stopped)
          this.stop(entry, batch, "deadline");
      this.#late.remove(batch);
      this.started(batch);
    }
    // Made when there is one: mostly there is none, and this runs at every event.
    let thinned: Set<ModelState<Request>> | undefined;
    for (let model = this.#hopeless.first; model !== undefined; model = this.#hopeless.first) {
      const entry = model.wakes.first!;
      if (entry.wakeAt > now) break;
      const due = entry.request.deadline - this.estimates.leastOf(model);
      if (due > now) {
        // Its model has been faster since this moment was set.
        entry.wakeAt = due;
        model.wakes.put(entry);
        this.#hopeless.put(model);
      } else {
        this.drop(entry, "deadline");
        thinned ??= new Set();
        thinned.add(model);
      }
    }
    return thinned ?? NONE;
  }

  /** Takes a waiting request out. */
  drop(entry: Entry<Request>, why: DropReason): void {
    this.dequeue(entry);
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

function lateBefore<R extends ScheduledRequest>(a: RunningBatch<R>, b: RunningBatch<R>): boolean {
  return a.stopsAt === b.stopsAt ? a.id < b.id : a.stopsAt < b.stopsAt;
}
