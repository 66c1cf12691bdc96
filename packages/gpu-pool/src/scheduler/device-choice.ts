// Which device a request is for, of those that have its model: the one it knows, a quick one, or a dear one if it must be.
import type { ScheduledRequest } from "./contract.ts";
import type { Estimates } from "./estimates.ts";
import type { Placement } from "./placement.ts";
import type { DeviceState, ModelState } from "./state.ts";

/** Most affinity keys remembered. */
const MAX_AFFINITIES = 10_000;

/** So much before a dearer device could not keep a deadline any more, it is looked at once more, in milliseconds. */
const LAST_LOOK_MS = 5;

export class DeviceChoice<Request extends ScheduledRequest> {
  /** Devices that last served an affinity key; the longest unused is forgotten first. */
  readonly #affinity = new Map<string, string>();

  constructor(
    private readonly placement: Placement<Request>,
    private readonly estimates: Estimates<Request>,
  ) {}

  /** A device that has the model loaded and room for a batch: the one that served the affinity key, if it can. */
  deviceFor(model: ModelState<Request>, request: Request, now: number): DeviceState<Request> | undefined {
    const isAlike = this.placement.types.size === 1 || model.replicaKinds.size === 1;
    const { affinity } = request;
    if (affinity !== undefined) {
      const device = this.placement.devices.get(this.#affinity.get(affinity) ?? "");
      const isFree = device !== undefined && device.resident.has(model.index) && this.#hasRoom(device);
      if (isFree && (isAlike || this.#worthFrom(model, request, device.kind, now) <= now)) return device;
    }
    const first = this.#roomFor(model);
    if (first === undefined || isAlike) return first;
    for (const those of [this.placement.idle, this.placement.partly]) {
      let index = this.placement.firstWith(model, those);
      for (; index >= 0; index = this.placement.firstWith(model, those, index + 1)) {
        const device = this.placement.device(index);
        if (this.#worthFrom(model, request, device.kind, now) <= now) return device;
      }
    }
    return undefined;
  }

  /** Always the first of those that idle: what is not needed stays idle, and can be taken away. */
  #roomFor(model: ModelState<Request>): DeviceState<Request> | undefined {
    const { idle, partly } = this.placement;
    let index = this.placement.firstWith(model, idle);
    if (index < 0) index = this.placement.firstWith(model, partly);
    return index < 0 ? undefined : this.placement.device(index);
  }

  /** A device has served an affinity key. */
  served(affinity: string, device: DeviceState<Request>): void {
    this.#affinity.delete(affinity);
    this.#affinity.set(affinity, device.id);
    if (this.#affinity.size <= MAX_AFFINITIES) return;
    for (const oldest of this.#affinity.keys()) {
      this.#affinity.delete(oldest);
      return;
    }
  }

  /** When a request that waits for a cheap device is to be looked at again, for a dearer one to be in time. */
  spillsAt(model: ModelState<Request>, request: Request, now: number): number {
    const { deadline } = request;
    if (deadline === Infinity || model.replicaKinds.size === 1) return Infinity;
    let first = Infinity;
    for (const type of model.replicaKinds.keys()) {
      const from = this.#worthFrom(model, request, type, now);
      if (from <= now || from === Infinity) continue;
      const last = deadline - this.estimates.profileOf(model, type).timeOf(1);
      if (from <= last) first = Math.min(first, from);
      // By then more may wait than is known now, or what runs may be late.
      if (last - LAST_LOOK_MS > now) first = Math.min(first, last - LAST_LOOK_MS);
    }
    return first;
  }

  /**
   * From when on a type of device is for a request, as things are; `Infinity` if it is not. Of those that cost the same the
   * quickest always is; a slower one, such as a CPU beside GPUs, if the request ends in time there, and sooner than if it
   * waited for the quicker ones. A dearer one is if it would end too late on the cheaper ones, behind what waits, and in
   * time there; or in the last moment, if what runs on them is late, so that nobody knows.
   */
  #worthFrom(model: ModelState<Request>, { deadline }: Request, type: string, now: number): number {
    const { types } = this.placement;
    const { backlogMs } = this.estimates;
    const cost = types.costOf(type);
    const ms = this.estimates.profileOf(model, type).timeOf(1);
    const isInTime = now + ms <= deadline;
    let quickest = ms;
    let cheaperMs = Infinity;
    let cheaperPlaces = 0;
    for (const kind of model.replicaKinds.keys()) {
      const other = this.estimates.profileOf(model, kind);
      const otherMs = other.timeOf(1);
      const otherCost = types.costOf(kind);
      if (otherCost < cost) {
        // One that has not been seen may be quick.
        cheaperMs = Math.min(cheaperMs, other.isKnown ? otherMs : 0);
        cheaperPlaces += types.placesOf(kind);
      } else if (otherCost > cost) {
        if (!isInTime && now + otherMs <= deadline) return Infinity;
      } else if (other.isKnown) quickest = Math.min(quickest, otherMs);
    }
    if (cheaperPlaces > 0) {
      if (!isInTime) return Infinity;
      const from = deadline - (backlogMs / cheaperPlaces + cheaperMs);
      const isLastLook = now >= deadline - ms - LAST_LOOK_MS;
      if (from > now && !(isLastLook && this.#isLate(model, cost, now))) return from;
    }
    if (ms <= quickest) return now;
    return isInTime && ms <= backlogMs / Math.max(1, this.placement.capacity) + quickest ? now : Infinity;
  }

  /** Whether something runs for longer than it should on the devices that cost less and have the model. */
  #isLate(model: ModelState<Request>, cost: number, now: number): boolean {
    const { replicas } = model;
    for (
      let index = replicas.firstShared(replicas);
      index >= 0;
      index = replicas.firstShared(replicas, index + 1)
    ) {
      const device = this.placement.device(index);
      if (device.cost < cost && device.batches.some(({ endsAt }) => endsAt < now)) return true;
    }
    return false;
  }

  #hasRoom({ batches, capacity, isDraining }: DeviceState<Request>): boolean {
    return batches.length < capacity && !isDraining;
  }
}
