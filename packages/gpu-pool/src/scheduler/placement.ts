// Which model is loaded where: memory accounted for, references counted, loads single, evictions by what they cost.
import { BitSet } from "./bit-set.ts";
import type { SchedulerCommand, ScheduledRequest } from "./contract.ts";
import { DeviceTypes } from "./device-types.ts";
import { roomFor, takenOn } from "./device-memory.ts";
import { isRunning, victimsOn, worthOf } from "./eviction.ts";
import { RankHeap } from "./rank-heap.ts";
import type { DeviceState, Held, ModelState } from "./state.ts";

/** Use of its replicas above which a model is given one more. */
const REPLICA_USE = 0.8;

/** How often more replicas of a model are thought about, in milliseconds. */
const LOOK_EVERY_MS = 50;

/** Devices that are looked at for something to evict, at most: a decision never costs more with more devices. */
const MOST_SEARCHED = 16;

/** After a load has failed on a device, it is not tried there again for this long, in milliseconds. */
const COOLING_MS = 5_000;

/** Loads in a row that may fail before requests for the model are given up. */
const MOST_FAILED_LOADS = 3;

type Emit<Request extends ScheduledRequest> = (command: SchedulerCommand<Request>) => void;

export class Placement<Request extends ScheduledRequest> {
  readonly devices: Map<string, DeviceState<Request>> = new Map();
  /** Devices that run nothing, and those that run something and have room: by index. */
  readonly idle: BitSet = new BitSet();
  readonly partly: BitSet = new BitSet();
  /** Of the devices that are up. */
  readonly types: DeviceTypes = new DeviceTypes();
  /** Batches that the devices can run at a time. */
  capacity = 0;
  readonly #byIndex: (DeviceState<Request> | undefined)[] = [];
  readonly #unused: number[] = [];
  /** Devices by how much is free. */
  readonly #emptiest = new RankHeap<DeviceState<Request>>(({ index }) => index);
  /** Models that requests wait for and that fit nowhere yet. First come, first. */
  readonly #unplaced = new Set<ModelState<Request>>();
  /** Places that are given up when their last batch has ended. */
  #leaving = 0;
  #cursor = 0;
  /** When the first device may be tried again on which a load has failed. */
  #coolAt = Infinity;

  constructor(
    private readonly models: readonly ModelState<Request>[],
    private readonly emit: Emit<Request>,
  ) {}

  device(index: number): DeviceState<Request> {
    return this.#byIndex[index]!;
  }

  /** Models that wait for memory. */
  get unplaced(): number {
    return this.#unplaced.size;
  }

  /** Of these, those that leases wait for. */
  get unplacedLeases(): number {
    let count = 0;
    for (const model of this.#unplaced) if (model.wantedBy.size > 0) count += 1;
    return count;
  }

  add(device: DeviceState<Request>, loaded: readonly ModelState<Request>[], now: number): void {
    this.devices.set(device.id, device);
    this.#byIndex[device.index] = device;
    this.capacity += device.capacity;
    this.types.add(device);
    this.idle.add(device.index);
    // One for all: a thousand models on each of a thousand devices would be a million, for the collector to look at.
    const held: Held = { state: "resident", leases: 0, since: now };
    for (const model of loaded) {
      device.freeBytes -= model.memoryBytes;
      device.holds.set(model.index, held);
      this.#becomeResident(device, model);
    }
    this.#rank(device);
  }

  /** Whether a device that is up, and stays, has a model loaded. */
  has(device: DeviceState<Request>, model: ModelState<Request>): boolean {
    return model.replicas.size === this.devices.size || device.resident.has(model.index);
  }

  /** The first of some devices, from an index on, that has a model; -1 when there is none. */
  firstWith(model: ModelState<Request>, those: BitSet, from = 0): number {
    const { replicas } = model;
    // On all of them: nothing to compare, so nothing to fetch.
    return (replicas.size === this.devices.size ? those : replicas).firstShared(those, from);
  }

  /** The index of a device that is about to be added. */
  nextIndex(): number {
    return this.#unused.pop() ?? this.#byIndex.length;
  }

  remove(device: DeviceState<Request>): void {
    this.devices.delete(device.id);
    this.#byIndex[device.index] = undefined;
    this.#unused.push(device.index);
    this.capacity -= device.capacity;
    this.types.remove(device);
    this.idle.delete(device.index);
    this.partly.delete(device.index);
    this.#emptiest.remove(device);
    for (const [index, held] of device.holds) {
      const model = this.models[index]!;
      this.#leave(device, model);
      if (held.state === "loading" || held.state === "planned") model.coming -= 1;
      if (held.state === "leaving") this.#leaving -= 1;
    }
  }

  /** It takes nothing more. */
  drain(device: DeviceState<Request>): void {
    device.isDraining = true;
    this.idle.delete(device.index);
    this.partly.delete(device.index);
    this.#emptiest.remove(device);
    for (const index of device.holds.keys()) this.#leave(device, this.models[index]!);
  }

  /** So much was measured to be free: what others take is what is missing then. */
  measured(device: DeviceState<Request>, freeBytes: number, now: number): void {
    const { roomBytes } = device;
    const taken = takenOn(device, this.models);
    device.roomBytes = roomFor(device, taken, freeBytes);
    device.freeBytes = device.roomBytes - taken.restingBytes - taken.movingBytes;
    if (device.isDraining || device.roomBytes === roomBytes) return;
    this.#rank(device);
    if (device.roomBytes < roomBytes) return;
    this.#startPlanned(device, now);
    this.retry(now);
  }

  /** A lease is granted on a model's place, or given back. */
  lease(device: DeviceState<Request>, model: ModelState<Request>, change: 1 | -1): void {
    const held = device.holds.get(model.index)!;
    device.holds.set(model.index, { ...held, leases: held.leases + change });
  }

  /** A batch or a lease uses a model on a device no more. */
  letGo(device: DeviceState<Request>, model: ModelState<Request>, now: number): void {
    if (this.#unplaced.size + this.#leaving === 0 || this.#byIndex[device.index] !== device) return;
    const { leases, state } = device.holds.get(model.index)!;
    const isUsed = isRunning(device, model);
    if (state === "leaving") {
      if (!isUsed) this.#unload(device, model, now);
    } else if (leases === 0 && (!isUsed || device.capacity > 1)) this.#tryUnplaced(now, 1);
  }

  /** Says how much a device runs, for the sets of those that have room. */
  busy(device: DeviceState<Request>): void {
    const running = device.batches.length;
    if (this.#byIndex[device.index] !== device) return;
    this.idle.delete(device.index);
    this.partly.delete(device.index);
    if (device.isDraining) return;
    if (running === 0) this.idle.add(device.index);
    else if (running < device.capacity) this.partly.add(device.index);
  }

  /** Requests or leases wait for a model that no device has: sees to it that one loads it. */
  want(model: ModelState<Request>, now: number): void {
    if (model.replicas.size + model.coming > 0 || this.#unplaced.has(model)) return;
    if (!this.#place(model, now, true)) this.#unplaced.add(model);
  }

  /**
   * A model has work and no free device: gives it one more when those it has are not enough.
   *
   * @param needed - Devices' worth of time that its requests take.
   */
  grow(model: ModelState<Request>, needed: () => number, now: number): void {
    if (now < model.nextLookAt || model.coming > 0) return;
    if (model.replicas.size >= this.devices.size) return;
    model.nextLookAt = now + LOOK_EVERY_MS;
    if (needed() > model.replicas.size * REPLICA_USE) this.#place(model, now, false);
  }

  loaded(device: DeviceState<Request>, model: ModelState<Request>, now: number): boolean {
    const held = device.holds.get(model.index);
    if (held?.state !== "loading") return false;
    model.coming -= 1;
    model.failedLoads = 0;
    model.loads += 1;
    model.loadMs = now - held.since;
    device.holds.set(model.index, { state: "resident", leases: held.leases, since: now });
    this.#becomeResident(device, model);
    if (!device.isDraining) this.#rank(device);
    return true;
  }

  /** Answers whether the model is to be given up. */
  loadFailed(device: DeviceState<Request>, model: ModelState<Request>, now: number): boolean {
    const held = device.holds.get(model.index);
    if (held?.state !== "loading") return false;
    model.coming -= 1;
    model.failedLoads += 1;
    device.cooling.set(model.index, now + COOLING_MS);
    this.#coolAt = Math.min(this.#coolAt, now + COOLING_MS);
    this.#free(device, model);
    this.#startPlanned(device, now);
    const isHopeless = model.failedLoads >= MOST_FAILED_LOADS;
    if (isHopeless) model.failedLoads = 0;
    this.#tryUnplaced(now, this.#unplaced.size);
    return isHopeless;
  }

  unloaded(device: DeviceState<Request>, model: ModelState<Request>, now: number): void {
    if (device.holds.get(model.index)?.state !== "unloading") return;
    this.#free(device, model);
    this.#startPlanned(device, now);
    this.#tryUnplaced(now, this.#unplaced.size);
  }

  /** Frees what nothing refers to of a model. Answers whether no device has anything of it. */
  vacate(model: ModelState<Request>, now: number): boolean {
    let isGone = true;
    for (const device of this.devices.values()) {
      const held = device.holds.get(model.index);
      if (held === undefined) continue;
      isGone = false;
      if (held.state === "resident" && held.leases === 0 && !isRunning(device, model))
        this.#unload(device, model, now);
    }
    return isGone;
  }

  /** Nothing is left of a model, so that another may have its index. */
  forget(model: ModelState<Request>): void {
    this.#unplaced.delete(model);
    for (const device of this.devices.values()) device.cooling.delete(model.index);
  }

  /** When a model that fits nowhere is to be tried again. */
  get nextRetry(): number {
    return this.#unplaced.size > 0 ? this.#coolAt : Infinity;
  }

  /** There is more room than there was. */
  retry(now: number): void {
    if (this.#unplaced.size > 0) this.#tryUnplaced(now, this.#unplaced.size);
    // Others may have to cool for longer.
    if (now >= this.#coolAt) this.#coolAt = this.#unplaced.size > 0 ? now + COOLING_MS : Infinity;
  }

  #tryUnplaced(now: number, most: number): void {
    let tried = 0;
    for (const model of this.#unplaced) {
      if (tried >= Math.min(most, MOST_SEARCHED)) break;
      tried += 1;
      this.#unplaced.delete(model);
      // Whoever does not fit yet goes to the end of the line.
      if (model.queue.size + model.wantedBy.size === 0) continue;
      if (model.replicas.size + model.coming === 0 && !this.#place(model, now, true))
        this.#unplaced.add(model);
    }
  }

  /** Loads a model on the emptiest device it fits on, or where what has to go is worth the least. */
  #place(model: ModelState<Request>, now: number, isFirst: boolean): boolean {
    const emptiest = this.#emptiest.first;
    if (emptiest !== undefined && this.#mayTake(emptiest, model, now) && fits(emptiest, model)) {
      this.#load(emptiest, model, now);
      return true;
    }
    let best: { device: DeviceState<Request>; victims: ModelState<Request>[]; cost: number } | undefined;
    const worth = worthOf(model, now);
    const count = this.#byIndex.length;
    for (let step = 0; step < Math.min(count, MOST_SEARCHED); step += 1) {
      const device = this.#byIndex[(this.#cursor + step) % count];
      if (device === undefined || !this.#mayTake(device, model, now)) continue;
      const found =
        victimsOn(device, model, this.models, now, isFirst, false) ??
        // Batches that overlap would keep a model for ever.
        (isFirst && device.capacity > 1
          ? victimsOn(device, model, this.models, now, isFirst, true)
          : undefined);
      if (found === undefined || (best !== undefined && found.cost >= best.cost)) continue;
      // A further replica is not worth what others would have to load again.
      if (!isFirst && found.cost > worth) continue;
      best = { device, ...found };
    }
    this.#cursor = count === 0 ? 0 : (this.#cursor + MOST_SEARCHED) % count;
    if (best === undefined) return false;
    this.#makeRoom(best.device, model, best.victims, now);
    return true;
  }

  #mayTake(device: DeviceState<Request>, model: ModelState<Request>, now: number): boolean {
    if (device.isDraining || device.holds.has(model.index) || device.planned.length > 0) return false;
    const until = device.cooling.get(model.index);
    if (until === undefined) return true;
    if (until > now) return false;
    device.cooling.delete(model.index);
    return true;
  }

  #makeRoom(
    device: DeviceState<Request>,
    model: ModelState<Request>,
    victims: readonly ModelState<Request>[],
    now: number,
  ): void {
    if (victims.length === 0) {
      this.#load(device, model, now);
      return;
    }
    model.coming += 1;
    device.holds.set(model.index, { state: "planned", leases: 0, since: now });
    device.planned.push(model);
    for (const victim of victims) {
      if (isRunning(device, victim)) this.#letLeave(device, victim, now);
      else this.#unload(device, victim, now);
      // Who waits for it waits for a place from now on.
      if (victim.queue.size + victim.wantedBy.size > 0 && victim.replicas.size + victim.coming === 0)
        this.#unplaced.add(victim);
    }
  }

  #letLeave(device: DeviceState<Request>, victim: ModelState<Request>, now: number): void {
    this.#leaving += 1;
    device.holds.set(victim.index, { state: "leaving", leases: 0, since: now });
    this.#leave(device, victim);
  }

  #unload(device: DeviceState<Request>, victim: ModelState<Request>, now: number): void {
    const { leases, state } = device.holds.get(victim.index)!;
    if (state === "leaving") this.#leaving -= 1;
    device.holds.set(victim.index, { state: "unloading", leases, since: now });
    this.#leave(device, victim);
    if (!device.isDraining) this.#rank(device);
    this.emit({ type: "unload", device: device.id, model: victim.spec.key });
  }

  /** Starts the loads that what has become free makes room for. */
  #startPlanned(device: DeviceState<Request>, now: number): void {
    for (let model = device.planned[0]; model !== undefined; model = device.planned[0]) {
      const isEnough = fits(device, model) && !device.isDraining;
      const isMore = ({ state }: Held): boolean => state === "unloading" || state === "leaving";
      if (!isEnough && [...device.holds.values()].some(isMore)) return;
      device.planned.shift();
      device.holds.delete(model.index);
      model.coming -= 1;
      // Less has become free than was reckoned with: it starts over, elsewhere if it can.
      if (isEnough) this.#load(device, model, now);
      else this.#unplaced.add(model);
    }
  }

  #load(device: DeviceState<Request>, model: ModelState<Request>, now: number): void {
    model.coming += 1;
    device.freeBytes -= model.memoryBytes;
    device.holds.set(model.index, { state: "loading", leases: 0, since: now });
    this.#rank(device);
    this.emit({ type: "load", device: device.id, model: model.spec.key });
  }

  #free(device: DeviceState<Request>, model: ModelState<Request>): void {
    device.holds.delete(model.index);
    device.freeBytes += model.memoryBytes;
    if (!device.isDraining) this.#rank(device);
  }

  #becomeResident(device: DeviceState<Request>, model: ModelState<Request>): void {
    if (device.isDraining) return;
    device.resident.add(model.index);
    model.replicas.add(device.index);
    model.replicaKinds.set(device.kind, (model.replicaKinds.get(device.kind) ?? 0) + 1);
  }

  /** The more is free the better, then the fewer models there are. */
  #rank(device: DeviceState<Request>): void {
    this.#emptiest.put(device, -device.freeBytes, device.resident.size, device.index);
  }

  /** The model can be run there no more. */
  #leave(device: DeviceState<Request>, model: ModelState<Request>): void {
    if (!device.resident.has(model.index)) return;
    device.resident.delete(model.index);
    model.replicas.delete(device.index);
    const alike = model.replicaKinds.get(device.kind)! - 1;
    if (alike === 0) model.replicaKinds.delete(device.kind);
    else model.replicaKinds.set(device.kind, alike);
  }
}

function fits<R extends ScheduledRequest>(device: DeviceState<R>, model: ModelState<R>): boolean {
  return model.memoryBytes <= device.freeBytes;
}
