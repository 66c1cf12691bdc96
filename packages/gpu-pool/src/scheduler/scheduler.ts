// Which waiting requests run together, where and when: deterministic, without I/O, told the time by its owner.
import type { Device } from "../device.ts";
import { Admission } from "./admission.ts";
import type { BatchProfile } from "./batch-profile.ts";
import type {
  EventScheduler,
  ScheduledModel,
  ScheduledRequest,
  SchedulerCommand,
  SchedulerEvent,
  SchedulerOptions,
} from "./contract.ts";
import type { DeviceMemory } from "./device-memory.ts";
import { memoryOf } from "./device-memory.ts";
import { Departures } from "./departures.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Estimates } from "./estimates.ts";
import { Leases } from "./leases.ts";
import type { ModelCounts } from "./model-counts.ts";
import { modelCounts } from "./model-counts.ts";
import { Placement } from "./placement.ts";
import { RequestBook } from "./request-book.ts";
import type { DeviceState, Entry, ModelState, RunningBatch } from "./state.ts";
import { newDevice, newModel } from "./state.ts";
import { TenantLedger } from "./tenants.ts";

const NONE: readonly never[] = [];

/**
 * Runs the largest batch that meets its head's deadline, drops at once what cannot end in time, lets batches fill while
 * devices idle, loads models where they are missing, and shares device time between tenants. The same events at the
 * same times give the same commands: a pool runs it on the real clock, a simulator on a virtual one. An event costs
 * O(log n) in requests, models and devices, plus a word read for every 32 devices; while several tenants wait, a device
 * that becomes free may also look at every model that waits and is loaded there.
 */
export class Scheduler<Request extends ScheduledRequest> implements EventScheduler<Request> {
  readonly #models = new Map<string, ModelState<Request>>();
  readonly #byIndex: ModelState<Request>[] = [];
  readonly #estimates = new Estimates<Request>();
  readonly #book: RequestBook<Request>;
  readonly #placement: Placement<Request>;
  readonly #dispatcher: Dispatcher<Request>;
  readonly #leases: Leases<Request>;
  readonly #departures: Departures<Request>;
  /** Places of models that were forgotten, for those to come. */
  readonly #freeIndices: number[] = [];
  readonly #ledger: TenantLedger;
  readonly #admission: Admission<Request>;
  /** Of the event at hand; none yet, as of most. */
  #commands: SchedulerCommand<Request>[] | undefined;

  constructor(options: SchedulerOptions) {
    const emit = (command: SchedulerCommand<Request>): void => this.#emit(command);
    const ledger = new TenantLedger(options.weightOf ?? (() => 1));
    const book = new RequestBook(this.#estimates, emit);
    const placement = new Placement(this.#byIndex, emit);
    this.#ledger = ledger;
    this.#book = book;
    this.#placement = placement;
    this.#dispatcher = new Dispatcher({
      models: this.#byIndex,
      book,
      estimates: this.#estimates,
      placement,
      ledger,
      emit,
    });
    this.#admission = new Admission(options, {
      ledger,
      emit,
      book,
      dispatcher: this.#dispatcher,
      backlogMs: () => this.backlogMs,
    });
    this.#leases = new Leases(placement, emit);
    this.#departures = new Departures(placement, emit, (model) => this.#forget(model));
    for (const spec of options.models) this.#addModel(spec);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#book.waiting;
  }

  get running(): number {
    return this.#book.entries.size - this.#book.waiting;
  }

  /** Batches that the devices that are up can run at a time. */
  get capacity(): number {
    return this.#placement.capacity;
  }

  get nextWake(): number {
    return Math.min(this.#book.nextWake, this.#dispatcher.nextDue, this.#placement.nextRetry);
  }

  /** How long until all that waits and runs is worked off, by measured times; 0 while there are none. */
  get backlogMs(): number {
    return this.#estimates.backlogMs / Math.max(1, this.capacity);
  }

  /** Device milliseconds of all that waits and runs, by measured times. */
  get workMs(): number {
    return this.#estimates.backlogMs;
  }

  /** Device milliseconds that a request of a model takes, in a batch of the size it is expected to run in. */
  costOf(key: string, now: number): number {
    const model = this.#models.get(key);
    return model === undefined ? 0 : this.#estimates.costOf(model, now);
  }

  /** What whoever is refused is told to wait, in milliseconds. */
  get retryAfterMs(): number {
    return this.#admission.retryAfterMs;
  }

  /** What there is of a model. */
  modelCounts(model: string): ModelCounts | undefined {
    const found = this.#models.get(model);
    return found && modelCounts(found, this.#placement);
  }

  /** Memory of a device that is neither taken nor reserved, in bytes; `undefined` while it is not up. */
  freeBytes(device: string): number | undefined {
    return this.#placement.devices.get(device)?.freeBytes;
  }

  /** How the memory of a device stands; `undefined` while it is not up, or its memory is not known. */
  memoryOf(device: string): DeviceMemory | undefined {
    const state = this.#placement.devices.get(device);
    return state === undefined || state.memoryBytes === Infinity ? undefined : memoryOf(state);
  }

  /** Batches that run on a device. */
  runningOn(device: string): number {
    return this.#placement.devices.get(device)?.batches.length ?? 0;
  }

  /** Leases that are held or waited for. */
  get leases(): number {
    return this.#leases.size;
  }

  /** Models that leases wait for and that no device has room for. */
  get unplacedLeases(): number {
    return this.#placement.unplacedLeases;
  }

  /** Leases that are held on a device. */
  leasesOn(device: string): number {
    const state = this.#placement.devices.get(device);
    return state === undefined ? 0 : this.#leases.on(state);
  }

  /** What has been measured of a model on a type of device. */
  profile(model: string, type = ""): BatchProfile | undefined {
    return this.#models.get(model)?.profiles.get(type);
  }

  /** Where a model is loaded. */
  replicas(model: string): readonly string[] {
    return this.modelCounts(model)?.devices ?? [];
  }

  handle(event: SchedulerEvent<Request>, now: number): readonly SchedulerCommand<Request>[] {
    this.#commands = undefined;
    const thinned = this.#book.expire(now);
    // Only now: before, a batch could have been filled with what was next to be dropped.
    for (const model of thinned) this.#dispatcher.look(model, now);
    if (this.#placement.nextRetry <= now) this.#placement.retry(now);
    this.#take(event, now);
    this.#dispatcher.startDue(now);
    if (this.#departures.size > 0) this.#departures.look(now);
    return this.#commands ?? NONE;
  }

  #take(event: SchedulerEvent<Request>, now: number): void {
    switch (event.type) {
      case "request":
        this.#arrive(event.request, now);
        break;
      case "cancel":
        this.#cancel(event.id, now);
        break;
      case "done": {
        const entry = this.#book.entries.get(event.id);
        if (entry?.batch !== undefined) this.#done(entry, entry.batch, now);
        break;
      }
      case "batch-done": {
        const batch = this.#dispatcher.batches.get(event.batch);
        if (batch !== undefined)
          for (const entry of batch.entries) if (entry.batch === batch) this.#done(entry, batch, now);
        break;
      }
      case "out-of-memory":
        this.#tooLarge(event.batch, now);
        break;
      case "device-up":
        this.#lose(event.device.id, now);
        this.#up(event.device, event.loaded, now);
        break;
      case "device-down":
        this.#lose(event.device, now);
        break;
      case "timer":
        break;
      case "acquire":
      case "release":
        this.#lease(event, now);
        break;
      case "model-added":
        this.#addModel(event.model);
        break;
      case "model-leaves": {
        const model = this.#models.get(event.model);
        if (model !== undefined) this.#departures.add(model, event.isForgotten);
        break;
      }
      case "device-drain":
      case "memory":
      case "loaded":
      case "load-failed":
      case "unloaded":
        this.#moved(event, now);
        break;
    }
  }

  // Requests come and go.

  #arrive(request: Request, now: number): void {
    const entry = this.#admission.admit(request, this.#models.get(request.model), now);
    if (entry === undefined) return;
    this.#estimates.arrived(entry.model, entry, now);
    this.#book.add(entry);
    this.#dispatcher.look(entry.model, now);
  }

  #cancel(id: number, now: number): void {
    const entry = this.#book.entries.get(id);
    if (entry === undefined || entry.stopped) return;
    if (entry.batch !== undefined) this.#book.stop(entry, entry.batch, "cancelled");
    else {
      this.#book.drop(entry, "cancelled");
      this.#dispatcher.look(entry.model, now);
    }
  }

  // Batches.

  #done(entry: Entry<Request>, batch: RunningBatch<Request>, now: number): void {
    entry.batch = undefined;
    batch.open -= 1;
    this.#book.forget(entry);
    if (batch.open > 0) return;
    const { device, model, units } = batch;
    this.#dispatcher.end(batch, now);
    if (!batch.isDisturbed) this.#estimates.ended(model, device.kind, units, now - batch.startedAt);
    this.#dispatcher.serve(device, now);
  }

  /** A batch was too large for the memory: smaller ones from now on, and once more. Alone, a request gets one try. */
  #tooLarge(id: number, now: number): void {
    const batch = this.#dispatcher.batches.get(id);
    if (batch === undefined) return;
    const { device, model, units } = batch;
    this.#dispatcher.end(batch, now);
    const isSingle = batch.open === 1;
    if (!isSingle) this.#estimates.lowerCap(model, device.kind, units);
    for (const entry of batch.entries) {
      if (entry.batch !== batch) continue;
      if (entry.stopped || (isSingle && entry.alone)) this.#giveUp(entry, device.id, "out-of-memory");
      else this.#again(entry, isSingle);
    }
    this.#dispatcher.look(model, now);
    this.#dispatcher.serve(device, now);
  }

  #again(entry: Entry<Request>, alone: boolean): void {
    entry.batch = undefined;
    entry.alone ||= alone;
    entry.wakeAt = entry.request.deadline - entry.model.leastMs;
    this.#book.enqueue(entry);
  }

  #giveUp(entry: Entry<Request>, device: string, why: "device-down" | "out-of-memory"): void {
    this.#book.forget(entry);
    this.#emit({ type: "lost", request: entry.request, device, why });
  }

  // Devices and models.

  #up(device: Device, loaded: readonly string[] | undefined, now: number): void {
    const state = newDevice<Request>(device, this.#placement.nextIndex());
    const models = loaded?.map((key) => this.#models.get(key)).filter((model) => model !== undefined);
    const all = models ?? [...this.#models.values()];
    this.#placement.add(state, all, now);
    this.#estimates.type = this.#placement.types.commonest ?? this.#estimates.type;
    for (const model of all) this.#leases.grant(model, state);
    this.#dispatcher.serve(state, now);
    this.#placement.retry(now);
  }

  #lose(id: string, now: number): void {
    const device = this.#placement.devices.get(id);
    if (device === undefined) return;
    this.#placement.remove(device);
    const models = new Set<ModelState<Request>>();
    const lost = device.batches.flatMap((batch) => batch.entries.filter((entry) => entry.batch === batch));
    for (let batch = device.batches[0]; batch !== undefined; batch = device.batches[0])
      this.#dispatcher.end(batch, now);
    for (const entry of lost) {
      models.add(entry.model);
      // One alone is what took the worker down. Of several nobody knows which: each gets one more try, by itself.
      if (entry.stopped || entry.alone || lost.length === 1) this.#giveUp(entry, id, "device-down");
      else this.#again(entry, true);
    }
    this.#estimates.type = this.#placement.types.commonest ?? this.#estimates.type;
    for (const index of device.holds.keys()) models.add(this.#byIndex[index]!);
    this.#leases.lost(device);
    for (const model of models) if (model.queue.size > 0) this.#dispatcher.look(model, now);
  }

  #moved(
    event: SchedulerEvent<Request> & {
      readonly type: "device-drain" | "memory" | "loaded" | "load-failed" | "unloaded";
    },
    now: number,
  ): void {
    const device = this.#placement.devices.get(event.device);
    if (device === undefined) return;
    if (event.type === "device-drain") this.#drain(device, now);
    else if (event.type === "memory") this.#placement.measured(device, event.freeBytes, now);
    else {
      const model = this.#models.get(event.model);
      if (model === undefined) return;
      if (event.type === "unloaded") this.#placement.unloaded(device, model, now);
      else if (event.type === "loaded") {
        if (!this.#placement.loaded(device, model, now)) return;
        if (!device.isDraining) this.#leases.grant(model, device);
        this.#dispatcher.look(model, now);
      } else if (this.#placement.loadFailed(device, model, now) && model.replicas.size === 0)
        this.#giveUpModel(model);
      else if (model.queue.size > 0) this.#dispatcher.look(model, now);
      else if (model.wantedBy.size > 0) this.#placement.want(model, now);
    }
  }

  #drain(device: DeviceState<Request>, now: number): void {
    this.#placement.drain(device);
    // What waits for a model that was only there has to find another place for it.
    for (const index of device.holds.keys()) {
      const model = this.#byIndex[index]!;
      if (model.queue.size > 0) this.#dispatcher.look(model, now);
      else if (model.wantedBy.size > 0) this.#placement.want(model, now);
    }
  }

  #giveUpModel(model: ModelState<Request>): void {
    for (let entry = model.queue.first; entry !== undefined; entry = model.queue.first)
      this.#book.drop(entry, "unloadable");
    this.#dispatcher.setAside(model);
    this.#leases.deny(model);
  }

  #lease(event: SchedulerEvent<Request> & { readonly type: "acquire" | "release" }, now: number): void {
    if (event.type === "release") {
      this.#leases.release(event.lease, now);
      return;
    }
    const model = this.#models.get(event.model);
    if (model === undefined) return;
    this.#leases.acquire(event.lease, model);
    if (model.replicas.size === 0) this.#placement.want(model, now);
  }

  #addModel(spec: ScheduledModel): void {
    const model = newModel<Request>(spec, this.#freeIndices.pop() ?? this.#byIndex.length, this.#ledger);
    this.#byIndex[model.index] = model;
    this.#models.set(spec.key, model);
  }

  #forget(model: ModelState<Request>): void {
    this.#models.delete(model.spec.key);
    this.#placement.forget(model);
    this.#dispatcher.setAside(model);
    this.#freeIndices.push(model.index);
  }

  #emit(command: SchedulerCommand<Request>): void {
    if (this.#commands === undefined) this.#commands = [command];
    else this.#commands.push(command);
  }
}
