// Which model's batch starts next, on which device, how large and when.
import { MOST_FILLS, sizeToKeep, sizeToStart } from "./batching.ts";
import { BitSet } from "./bit-set.ts";
import type { ScheduledRequest, SchedulerCommand } from "./contract.ts";
import { DeviceChoice } from "./device-choice.ts";
import type { Estimates } from "./estimates.ts";
import type { Placement } from "./placement.ts";
import { IdMap } from "./id-map.ts";
import { RankHeap } from "./rank-heap.ts";
import type { RequestBook } from "./request-book.ts";
import { Slots } from "./slots.ts";
import type { DeviceState, Entry, ModelState, RunningBatch } from "./state.ts";
import type { TenantLedger } from "./tenants.ts";

export interface DispatcherParts<Request extends ScheduledRequest> {
  readonly models: readonly ModelState<Request>[];
  readonly book: RequestBook<Request>;
  readonly estimates: Estimates<Request>;
  readonly placement: Placement<Request>;
  readonly ledger: TenantLedger;
  readonly emit: (command: SchedulerCommand<Request>) => void;
}

export class Dispatcher<Request extends ScheduledRequest> {
  readonly batches: IdMap<RunningBatch<Request>> = new IdMap();
  /** Models that are to be looked at: their batch has filled, or a dearer device is worth it. By when that is. */
  readonly #due = new RankHeap<ModelState<Request>>(({ index }) => index);
  /** Models that wait for a device. */
  readonly #ready = new RankHeap<ModelState<Request>>(({ index }) => index);
  readonly #readySet = new BitSet();
  readonly #ends = new RankHeap<RunningBatch<Request>>(({ slot }) => slot);
  readonly #slots = new Slots();
  readonly #choice: DeviceChoice<Request>;

  readonly #models: readonly ModelState<Request>[];
  readonly #book: RequestBook<Request>;
  readonly #estimates: Estimates<Request>;
  readonly #placement: Placement<Request>;
  readonly #ledger: TenantLedger;
  readonly #emit: DispatcherParts<Request>["emit"];
  #started = 0;

  constructor(parts: DispatcherParts<Request>) {
    this.#models = parts.models;
    this.#book = parts.book;
    this.#estimates = parts.estimates;
    this.#placement = parts.placement;
    this.#ledger = parts.ledger;
    this.#emit = parts.emit;
    this.#choice = new DeviceChoice(parts.placement, parts.estimates);
  }

  /** When the next batch has filled for long enough, or has waited for a cheap device for long enough. */
  get nextDue(): number {
    return this.#due.firstAt;
  }

  startDue(now: number): void {
    while (this.#due.firstAt <= now) this.look(this.#due.first!, now);
  }

  /**
   * Starts what of a model is to start now, and sets when it is to be looked at again.
   *
   * @param served - A device that gives its places one by one, to whoever's turn it is.
   */
  look(model: ModelState<Request>, now: number, served?: DeviceState<Request>): void {
    let hasStarted = false;
    for (;;) {
      const head = model.queue.first;
      if (head === undefined) {
        this.setAside(model);
        return;
      }
      const device = this.#choice.deviceFor(model, head.request, now);
      const type = device?.kind ?? this.#estimates.type;
      if (device !== undefined && this.#giveWay(model, type, now)) continue;
      const dueAt = this.#dueAt(model, head, model.queue.units, type, now);
      if (dueAt > now) {
        this.#waitsNoMore(model);
        this.#lookAgain(
          model,
          Math.min(dueAt, device === undefined ? this.#choice.spillsAt(model, head.request, now) : dueAt),
        );
        return;
      }
      if (device === undefined || (hasStarted && device === served && this.#ledger.waiting > 1)) {
        this.#waitForDevice(model, head, now);
        return;
      }
      this.#start(model, device, now);
      hasStarted = true;
    }
  }

  #lookAgain(model: ModelState<Request>, at: number): void {
    // Mostly the same moment as before: then it stays where it is.
    if (model.wakeAt === at && this.#due.has(model)) return;
    model.wakeAt = at;
    this.#due.put(model, 0, at, model.index);
  }

  setAside(model: ModelState<Request>): void {
    this.#due.remove(model);
    this.#waitsNoMore(model);
  }

  #waitsNoMore(model: ModelState<Request>): void {
    if (!this.#readySet.has(model.index)) return;
    this.#ready.remove(model);
    this.#readySet.delete(model.index);
  }

  #waitForDevice(model: ModelState<Request>, head: Entry<Request>, now: number): void {
    const spillsAt = this.#choice.spillsAt(model, head.request, now);
    if (spillsAt === Infinity) this.#due.remove(model);
    else this.#lookAgain(model, spillsAt);
    const by = head.request.deadline - model.leastMs;
    // Mostly behind the same head as before: then it stays where it is.
    if (model.readyOrder !== head.order || model.readyBy !== by || !this.#readySet.has(model.index)) {
      model.readyLevel = head.level;
      model.readyBy = by;
      model.readyOrder = head.order;
      this.#ready.put(model, head.level, by, head.order);
      this.#readySet.add(model.index);
    }
    if (model.replicas.size === 0) this.#placement.want(model, now);
    else if (model.replicas.size < this.#placement.devices.size)
      this.#placement.grow(model, () => this.#estimates.neededOf(model, now), now);
  }

  /** Whether a request would start at once, if nothing waits for its model. */
  startsAtOnce(model: ModelState<Request>, request: Request, now: number): boolean {
    const device = this.#choice.deviceFor(model, request, now);
    if (device === undefined) return false;
    const head = { request, arrivedAt: now, alone: false };
    return this.#dueAt(model, head, request.size ?? 1, device.kind, now) <= now;
  }

  /** A device has room: gives it what is most urgent of what it has loaded. */
  serve(device: DeviceState<Request>, now: number): void {
    let passed: Set<ModelState<Request>> | undefined;
    while (device.batches.length < device.capacity && !device.isDraining) {
      const model = this.#mostUrgent(device, passed);
      if (model === undefined) return;
      const before = model.queue.size;
      this.look(model, now, device);
      // Nothing of it is for this device, such as one that is too slow: others may be.
      if (model.queue.size === before && this.#readySet.has(model.index)) (passed ??= new Set()).add(model);
    }
  }

  /** Of models whose next request's tenant is ahead of its share only if there are no others. */
  #mostUrgent(
    device: DeviceState<Request>,
    passed: ReadonlySet<ModelState<Request>> | undefined,
  ): ModelState<Request> | undefined {
    const top = this.#ready.first;
    if (top === undefined) return undefined;
    const isTurn = this.#aheadBy(top) === 0;
    if (isTurn && this.#placement.has(device, top) && passed?.has(top) !== true) return top;
    let best: ModelState<Request> | undefined;
    let least = Infinity;
    const { resident } = device;
    let index = resident.firstShared(this.#readySet);
    for (; index >= 0; index = resident.firstShared(this.#readySet, index + 1)) {
      const model = this.#models[index]!;
      if (passed?.has(model) === true) continue;
      const ahead = this.#aheadBy(model);
      if (best !== undefined && (ahead > least || (ahead === least && !readyBefore(model, best)))) continue;
      best = model;
      least = ahead;
    }
    return best;
  }

  /** How far the tenant of a model's next request is ahead of its share; 0 if it is its turn. */
  #aheadBy({ queue }: ModelState<Request>): number {
    if (this.#ledger.waiting < 2) return 0;
    const head = queue.first;
    return head === undefined ? 0 : this.#ledger.aheadBy(head.tenant);
  }

  /** Drops a head that would make its batch much smaller than the load allows. Answers whether it did. */
  #giveWay(model: ModelState<Request>, type: string, now: number): boolean {
    const { queue } = model;
    const head = queue.first!;
    if (model.maxBatch === 1 || model.maxDelayMs !== undefined || head.request.deadline === Infinity)
      return false;
    const profile = this.#estimates.profileOf(model, type);
    // Nobody makes room for a lower priority.
    if (!profile.isKnown || queue.size === 1 || !queue.isUniform) return false;
    const most = Math.min(queue.units, this.#estimates.mostOf(model, type));
    const feasible = profile.unitsWithin(head.request.deadline - now);
    if (feasible >= most) return false;
    const full = this.#estimates.fullBatchOf(model, profile, now);
    if (feasible >= sizeToKeep(full, this.#estimates.loadAt(now, this.#placement.capacity))) return false;
    this.#book.drop(head, "deadline");
    return true;
  }

  /**
   * When a batch of the model is to start: now, or once it has filled or its head cannot wait any longer.
   *
   * @param units - That wait.
   */
  #dueAt(
    model: ModelState<Request>,
    head: Pick<Entry<Request>, "request" | "arrivedAt" | "alone">,
    units: number,
    type: string,
    now: number,
  ): number {
    const { maxDelayMs } = model;
    const most = this.#estimates.mostOf(model, type);
    if (units >= most || head.alone) return now;
    if (maxDelayMs !== undefined) return head.arrivedAt + maxDelayMs;
    const profile = this.#estimates.profileOf(model, type);
    if (head.request.deadline === Infinity || !profile.isKnown) return now;
    const feasible = Math.min(most, Math.max(1, profile.unitsWithin(head.request.deadline - now)));
    if (units >= feasible) return now;
    const full = this.#estimates.fullBatchOf(model, profile, now);
    const load = this.#estimates.loadAt(now, this.#placement.capacity);
    const needed = (model.rate.at(now) * profile.timeOf(full)) / full;
    const idle = this.#idleOf(model);
    const enough = sizeToStart(full, needed, load, idle, this.#gap(model, full, idle, now));
    if (units >= enough) return now;
    const latest = head.request.deadline - profile.timeOf(Math.floor(units) + 1);
    return Math.min(latest, head.arrivedAt + MOST_FILLS * profile.timeOf(full));
  }

  #start(model: ModelState<Request>, device: DeviceState<Request>, now: number): void {
    const profile = this.#estimates.profileOf(model, device.kind);
    const most = this.#estimates.mostOf(model, device.kind);
    const entries: Entry<Request>[] = [];
    let units = 0;
    let deadline = Infinity;
    for (let entry = model.queue.first; entry !== undefined; entry = model.queue.first) {
      const due = Math.min(deadline, entry.request.deadline);
      // The first goes even if it is late by its p99: it may be quicker, and nobody has said yet that it is hopeless.
      if (entries.length > 0) {
        const upTo = model.maxDelayMs === undefined ? profile.unitsWithin(due - now) : Infinity;
        if (entry.alone || units + entry.size > Math.min(most, upTo)) break;
      }
      this.#book.dequeue(entry);
      entries.push(entry);
      units += entry.size;
      deadline = due;
      if (entry.alone) break;
    }
    this.#book.settle(model);
    this.#run(model, device, entries, units, now);
  }

  #run(
    model: ModelState<Request>,
    device: DeviceState<Request>,
    entries: readonly Entry<Request>[],
    units: number,
    now: number,
  ): void {
    const ms = this.#estimates.profileOf(model, device.kind).timeOf(units);
    this.#started += 1;
    const batch: RunningBatch<Request> = {
      id: this.#started,
      slot: this.#slots.take(),
      device,
      model,
      units,
      startedAt: now,
      endsAt: now + ms,
      entries,
      open: entries.length,
      stopsAt: Infinity,
      isDisturbed: false,
    };
    this.#ledger.served(entries[0]!.tenant);
    for (const entry of entries) {
      entry.batch = batch;
      this.#ledger.charge(entry.tenant, (ms * entry.size) / units);
      const { affinity } = entry.request;
      if (affinity !== undefined) this.#choice.served(affinity, device);
    }
    model.batches += 1;
    model.batched += entries.length;
    this.batches.set(batch.id, batch);
    this.#book.started(batch);
    this.#ends.put(batch, 0, batch.endsAt, batch.id);
    device.batches.push(batch);
    this.#placement.busy(device);
    const requests = entries.map(({ request }) => request);
    this.#emit({ type: "run", batch: batch.id, device: device.id, model: model.spec.key, requests });
  }

  /** Its place is free. */
  end(batch: RunningBatch<Request>, now: number): void {
    const { device, model } = batch;
    this.batches.delete(batch.id);
    this.#ends.remove(batch);
    this.#book.ended(batch);
    this.#slots.giveBack(batch.slot);
    if (device.batches.length === 1) device.batches.pop();
    else device.batches.splice(device.batches.indexOf(batch), 1);
    this.#placement.busy(device);
    this.#placement.letGo(device, model, now);
  }

  /** How many devices with the model idle: 0, 1, or 2 for more. */
  #idleOf(model: ModelState<Request>): number {
    const { idle } = this.#placement;
    const first = this.#placement.firstWith(model, idle);
    if (first < 0) return 0;
    return this.#placement.firstWith(model, idle, first + 1) < 0 ? 1 : 2;
  }

  /** Time until the next device is free, as a multiple of the mean between two. */
  #gap(model: ModelState<Request>, full: number, idle: number, now: number): number {
    const devices = this.#placement.devices.size;
    if (model.replicas.size < devices) return 1;
    if (idle > 1) return 0;
    const nextAt = this.#ends.firstAt;
    if (nextAt === Infinity) return 1;
    const between = this.#estimates.profileOf(model, this.#estimates.type).timeOf(full) / devices;
    return between === 0 ? 1 : Math.max(0, nextAt - now) / between;
  }
}

function readyBefore<R extends ScheduledRequest>(a: ModelState<R>, b: ModelState<R>): boolean {
  if (a.readyLevel !== b.readyLevel) return a.readyLevel < b.readyLevel;
  return a.readyBy === b.readyBy ? a.readyOrder < b.readyOrder : a.readyBy < b.readyBy;
}
