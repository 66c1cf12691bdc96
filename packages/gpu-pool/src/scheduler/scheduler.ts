// Which waiting request runs where, and when: deterministic, without I/O, told the time by its owner.
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "./contract.ts";
import { IndexedHeap } from "./indexed-heap.ts";
import { ServiceTimes } from "./service-times.ts";

export interface SchedulerOptions {
  /** Most requests that wait. */
  readonly queueLimit: number;
}

interface Entry<Request extends ScheduledRequest> {
  readonly request: Request;
  /** When it came, among all. */
  readonly order: number;
  /** When something is to be decided about it. */
  wakeAt: number;
  device: DeviceState | undefined;
  startedAt: number;
  /** Told to stop. */
  stopped: boolean;
}

interface DeviceState {
  readonly id: string;
  readonly capacity: number;
  running: number;
  /** Grows whenever a place becomes free: the longest free goes first. */
  freeSince: number;
}

/** What a refused caller is told to wait at least, in milliseconds. */
const MIN_RETRY_AFTER_MS = 1_000;

/**
 * Strict priority, then earliest deadline, then first come. The same events at the same times give the same commands:
 * a pool runs it on the real clock, a simulator on a virtual one. Each event costs O(log n).
 */
export class Scheduler<Request extends ScheduledRequest> {
  readonly #entries = new Map<number, Entry<Request>>();
  readonly #waiting = new IndexedHeap<Entry<Request>>(startsBefore);
  /** Requests with a deadline, by when it must be looked at. */
  readonly #wakes = new IndexedHeap<Entry<Request>>(wakesBefore);
  readonly #devices = new Map<string, DeviceState>();
  readonly #free = new IndexedHeap<DeviceState>(takesBefore);
  readonly #times = new ServiceTimes();
  /** Requests that wait or run, by model. */
  readonly #held = new Map<string, number>();
  readonly #queueLimit: number;
  #capacity = 0;
  #counter = 0;
  #commands: SchedulerCommand<Request>[] = [];

  constructor(options: SchedulerOptions) {
    this.#queueLimit = options.queueLimit;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get running(): number {
    return this.#entries.size - this.#waiting.size;
  }

  /** Requests that the devices that are up can run at a time. */
  get capacity(): number {
    return this.#capacity;
  }

  /** The next moment at which a `timer` event is due; `Infinity` when there is none. */
  get nextWake(): number {
    return this.#wakes.first?.wakeAt ?? Infinity;
  }

  /** How long until all that waits and runs is worked off, by measured service times; 0 while there are none. */
  get backlogMs(): number {
    let ms = 0;
    for (const [model, count] of this.#held) ms += count * this.#times.meanOf(model);
    return ms / Math.max(1, this.#capacity);
  }

  /** Takes in what has happened and answers what is to be done, in order. `now` never runs backwards. */
  handle(event: SchedulerEvent<Request>, now: number): readonly SchedulerCommand<Request>[] {
    this.#commands = [];
    this.#expire(now);
    this.#take(event, now);
    this.#assign(now);
    return this.#commands;
  }

  #take(event: SchedulerEvent<Request>, now: number): void {
    switch (event.type) {
      case "request":
        this.#admit(event.request, now);
        break;
      case "cancel":
        this.#cancel(event.id);
        break;
      case "done":
        this.#done(event.id, now);
        break;
      case "device-up": {
        const { id, capacity } = event.device;
        this.#lose(id);
        const state = { id, capacity, running: 0, freeSince: this.#next() };
        this.#devices.set(id, state);
        this.#capacity += capacity;
        this.#free.put(state);
        break;
      }
      case "device-down":
        this.#lose(event.device);
        break;
      case "timer":
        break;
    }
  }

  #admit(request: Request, now: number): void {
    // Who can start at once does not wait, so it needs no room.
    const startsAtOnce = this.#waiting.size === 0 && this.#free.size > 0;
    if (!startsAtOnce && this.#waiting.size >= this.#queueLimit) {
      const retryAfterMs = Math.max(MIN_RETRY_AFTER_MS, Math.ceil(this.backlogMs));
      this.#commands.push({ type: "refuse", request, waiting: this.#waiting.size, retryAfterMs });
      return;
    }
    const entry: Entry<Request> = {
      request,
      order: this.#next(),
      wakeAt: this.#latestStart(request),
      device: undefined,
      startedAt: 0,
      stopped: false,
    };
    if (entry.wakeAt <= now) {
      this.#commands.push({ type: "drop", request, why: "deadline" });
      return;
    }
    this.#entries.set(request.id, entry);
    this.#held.set(request.model, (this.#held.get(request.model) ?? 0) + 1);
    this.#waiting.put(entry);
    if (entry.wakeAt < Infinity) this.#wakes.put(entry);
  }

  #cancel(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.stopped) return;
    if (entry.device === undefined) this.#drop(entry, "cancelled");
    else this.#stop(entry, entry.device, "cancelled");
  }

  #done(id: number, now: number): void {
    const entry = this.#entries.get(id);
    const device = entry?.device;
    if (entry === undefined || device === undefined) return;
    this.#forget(entry);
    device.running -= 1;
    device.freeSince = this.#next();
    this.#free.put(device);
    // One that was told to stop says nothing about how long its model takes.
    if (!entry.stopped) this.#times.record(entry.request.model, now - entry.startedAt);
  }

  #lose(id: string): void {
    const device = this.#devices.get(id);
    if (device === undefined) return;
    this.#devices.delete(id);
    this.#free.remove(device);
    this.#capacity -= device.capacity;
    if (device.running === 0) return;
    for (const entry of this.#entries.values()) {
      if (entry.device !== device) continue;
      this.#forget(entry);
      this.#commands.push({ type: "lost", request: entry.request, device: id });
    }
  }

  /** Drops what cannot end in time any more, and stops what has not. */
  #expire(now: number): void {
    for (let entry = this.#wakes.first; entry !== undefined && entry.wakeAt <= now;) {
      const due = entry.device === undefined ? this.#latestStart(entry.request) : entry.request.deadline;
      if (due > now) {
        // Its model has been faster since this moment was set.
        entry.wakeAt = due;
        this.#wakes.put(entry);
      } else if (entry.device === undefined) {
        this.#drop(entry, "deadline");
      } else {
        this.#stop(entry, entry.device, "deadline");
      }
      entry = this.#wakes.first;
    }
  }

  #assign(now: number): void {
    while (this.#waiting.size > 0 && this.#free.size > 0) {
      const entry = this.#waiting.first!;
      const device = this.#free.first!;
      const { request } = entry;
      this.#waiting.remove(entry);
      entry.device = device;
      entry.startedAt = now;
      device.running += 1;
      if (device.running < device.capacity) this.#free.put(device);
      else this.#free.remove(device);
      if (request.deadline < Infinity) {
        entry.wakeAt = request.deadline;
        this.#wakes.put(entry);
      }
      this.#commands.push({
        type: "run",
        batch: this.#next(),
        device: device.id,
        model: request.model,
        requests: [request],
      });
    }
  }

  #drop(entry: Entry<Request>, why: "cancelled" | "deadline"): void {
    this.#waiting.remove(entry);
    this.#forget(entry);
    this.#commands.push({ type: "drop", request: entry.request, why });
  }

  #stop(entry: Entry<Request>, device: DeviceState, why: "cancelled" | "deadline"): void {
    entry.stopped = true;
    this.#wakes.remove(entry);
    this.#commands.push({ type: "stop", request: entry.request, device: device.id, why });
  }

  #forget(entry: Entry<Request>): void {
    const { id, model } = entry.request;
    this.#entries.delete(id);
    this.#wakes.remove(entry);
    const held = this.#held.get(model)! - 1;
    if (held === 0) this.#held.delete(model);
    else this.#held.set(model, held);
  }

  /** When it must have started: later it cannot end in time, even if its model runs as fast as it ever has. */
  #latestStart(request: Request): number {
    return request.deadline - this.#times.fastestOf(request.model);
  }

  #next(): number {
    this.#counter += 1;
    return this.#counter;
  }
}

function startsBefore(a: Entry<ScheduledRequest>, b: Entry<ScheduledRequest>): boolean {
  if (a.request.priority !== b.request.priority) return a.request.priority > b.request.priority;
  if (a.request.deadline !== b.request.deadline) return a.request.deadline < b.request.deadline;
  return a.order < b.order;
}

function wakesBefore(a: Entry<ScheduledRequest>, b: Entry<ScheduledRequest>): boolean {
  return a.wakeAt === b.wakeAt ? a.order < b.order : a.wakeAt < b.wakeAt;
}

/** The least loaded by share, then the longest free. */
function takesBefore(a: DeviceState, b: DeviceState): boolean {
  const difference = a.running / a.capacity - b.running / b.capacity;
  return difference === 0 ? a.freeSince < b.freeSince : difference < 0;
}
