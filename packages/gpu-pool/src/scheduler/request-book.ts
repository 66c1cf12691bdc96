// The requests that wait or run, and when something is to be decided about each.
import type { DropReason, ScheduledRequest, SchedulerCommand } from "./contract.ts";
import type { Estimates } from "./estimates.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import type { Entry, RunningBatch } from "./state.ts";

export class RequestBook<Request extends ScheduledRequest> {
  readonly entries: Map<number, Entry<Request>> = new Map();
  /** Requests with a deadline, by when it must be looked at. */
  readonly #wakes = new IndexedHeap<Entry<Request>>(wakesBefore);
  #waiting = 0;

  constructor(
    private readonly estimates: Estimates<Request>,
    private readonly emit: (command: SchedulerCommand<Request>) => void,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  /** The request whose deadline is to be looked at next. */
  get nextToWake(): Entry<Request> | undefined {
    return this.#wakes.first;
  }

  /** From here on until it is forgotten a request is held; it waits. */
  add(entry: Entry<Request>): void {
    this.entries.set(entry.request.id, entry);
    this.estimates.hold(entry.model, 1);
    this.wakeAt(entry, entry.wakeAt);
    this.enqueue(entry);
  }

  enqueue(entry: Entry<Request>): void {
    this.#waiting += 1;
    entry.model.queue.add(entry);
  }

  dequeue(entry: Entry<Request>): void {
    this.#waiting -= 1;
    entry.model.queue.remove(entry);
  }

  wakeAt(entry: Entry<Request>, at: number): void {
    entry.wakeAt = at;
    if (at < Infinity) this.#wakes.put(entry);
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
    this.#wakes.remove(entry);
    this.emit({ type: "stop", request: entry.request, device: batch.device.id, why });
  }

  forget(entry: Entry<Request>): void {
    this.entries.delete(entry.request.id);
    this.#wakes.remove(entry);
    this.estimates.hold(entry.model, -1);
  }
}

function wakesBefore<R extends ScheduledRequest>(a: Entry<R>, b: Entry<R>): boolean {
  return a.wakeAt === b.wakeAt ? a.order < b.order : a.wakeAt < b.wakeAt;
}
