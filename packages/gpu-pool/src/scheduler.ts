// Which waiting request runs where, and when: deterministic, without I/O, told the time by its owner.

/** A request as the scheduler sees it. */
export interface ScheduledRequest {
  readonly id: number;
  readonly model: string;
  /** Higher goes first. */
  readonly priority: number;
  /** On the owner's monotonic clock; `Infinity` without one. */
  readonly deadline: number;
}

/** A request to be started on a device. */
export interface Assignment<R extends ScheduledRequest> {
  readonly request: R;
  readonly device: string;
}

/** What is to be done now. */
export interface Decisions<R extends ScheduledRequest> {
  readonly start: readonly Assignment<R>[];
  /** Waiting requests that cannot end in time any more. */
  readonly drop: readonly R[];
}

interface DeviceState {
  readonly id: string;
  readonly slots: number;
  running: number;
  /** Since when it has had a free slot; the longest free goes first. */
  freeSince: number;
}

/** Weight of the newest service time in the running mean. */
const SMOOTHING = 0.2;

/**
 * Strict priority, then earliest deadline, then first come. A request whose deadline cannot be met any more, by
 * the fastest its model has ever run, is dropped at once instead of at its deadline.
 */
export class Scheduler<R extends ScheduledRequest> {
  readonly #devices = new Map<string, DeviceState>();
  /** In the order they will start. */
  #waiting: R[] = [];
  readonly #running = new Map<number, string>();
  readonly #fastest = new Map<string, number>();
  #meanServiceMs = 0;

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Requests the devices that are up can run at a time. */
  get slots(): number {
    let slots = 0;
    for (const device of this.#devices.values()) slots += device.slots;
    return slots;
  }

  deviceUp(id: string, slots: number, now: number): void {
    this.#devices.set(id, { id, slots, running: 0, freeSince: now });
  }

  /** Takes a device out. What ran on it is forgotten: its owner knows how to end it. */
  deviceDown(id: string): void {
    this.#devices.delete(id);
    for (const [request, device] of this.#running) if (device === id) this.#running.delete(request);
  }

  /** Adds a request behind its equals. */
  add(request: R): void {
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (goesBefore(request, this.#waiting[middle]!)) high = middle;
      else low = middle + 1;
    }
    this.#waiting.splice(low, 0, request);
  }

  /** Takes a waiting request out; answers whether it was waiting. */
  remove(id: number): boolean {
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index === -1) return false;
    this.#waiting.splice(index, 1);
    return true;
  }

  /** A request has ended, well or not. `serviceMs` is how long it ran, if it ran to its end. */
  ended(id: number, now: number, model: string, serviceMs?: number): void {
    const device = this.#devices.get(this.#running.get(id) ?? "");
    this.#running.delete(id);
    if (device !== undefined) {
      device.running -= 1;
      device.freeSince = now;
    }
    if (serviceMs === undefined) return;
    this.#fastest.set(model, Math.min(this.#fastest.get(model) ?? Infinity, serviceMs));
    this.#meanServiceMs =
      this.#meanServiceMs === 0
        ? serviceMs
        : this.#meanServiceMs + SMOOTHING * (serviceMs - this.#meanServiceMs);
  }

  /** Decides what starts and what is dropped at this moment. */
  decide(now: number): Decisions<R> {
    const drop = this.#waiting.filter((request) => this.#isHopeless(request, now));
    if (drop.length > 0) this.#waiting = this.#waiting.filter((request) => !drop.includes(request));
    const start: Assignment<R>[] = [];
    while (this.#waiting.length > 0) {
      const device = this.#freeDevice();
      if (device === undefined) break;
      const request = this.#waiting.shift()!;
      device.running += 1;
      this.#running.set(request.id, device.id);
      start.push({ request, device: device.id });
    }
    return { start, drop };
  }

  /** The next moment at which a waiting request becomes hopeless; `Infinity` when none will. */
  nextDrop(): number {
    return this.#waiting.reduce(
      (soonest, request) => Math.min(soonest, this.#latestStart(request)),
      Infinity,
    );
  }

  /** How long until the backlog is worked off, by the mean service time; 0 while nothing has been measured. */
  backlogMs(): number {
    return (this.#meanServiceMs * (this.#waiting.length + this.#running.size)) / Math.max(1, this.slots);
  }

  #isHopeless(request: R, now: number): boolean {
    return now > this.#latestStart(request) || now >= request.deadline;
  }

  #latestStart(request: R): number {
    return request.deadline - (this.#fastest.get(request.model) ?? 0);
  }

  #freeDevice(): DeviceState | undefined {
    let best: DeviceState | undefined;
    for (const device of this.#devices.values()) {
      if (device.running >= device.slots) continue;
      const share = device.running / device.slots;
      const bestShare = best === undefined ? Infinity : best.running / best.slots;
      if (share < bestShare || (share === bestShare && device.freeSince < best!.freeSince)) best = device;
    }
    return best;
  }
}

function goesBefore(a: ScheduledRequest, b: ScheduledRequest): boolean {
  return a.priority === b.priority ? a.deadline < b.deadline : a.priority > b.priority;
}
