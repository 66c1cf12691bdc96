// What the schedulers of others have in common: a queue for each model, devices that are free, and what they decide.
import type { Device } from "../../device.ts";
import type {
  DropReason,
  EventScheduler,
  ScheduledRequest,
  SchedulerCommand,
  SchedulerEvent,
} from "../../scheduler/contract.ts";
import type { SimulatedModel } from "../model.ts";

/** A batch that runs is ended without a result, and its requests wait again. Only SHEPHERD does that. */
export interface Preempt {
  readonly type: "preempt";
  readonly batch: number;
}

export type PolicyCommand = SchedulerCommand<ScheduledRequest> | Preempt;

/** What a simulation can run. */
export interface Policy extends Omit<EventScheduler<ScheduledRequest>, "handle"> {
  handle(event: SchedulerEvent<ScheduledRequest>, now: number): readonly PolicyCommand[];
}

/** A request that waits, and when it came. */
export interface Waiting {
  readonly request: ScheduledRequest;
  readonly arrivedAt: number;
}

/** First in, first out, without moving what stays. */
export class Line {
  #items: Waiting[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  at(index: number): Waiting | undefined {
    return this.#items[this.#head + index];
  }

  add(item: Waiting): void {
    this.#items.push(item);
  }

  take(count: number): Waiting[] {
    const taken = this.#items.slice(this.#head, this.#head + count);
    this.#head += taken.length;
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  /** Puts back what was taken, in its order. */
  putBack(items: readonly Waiting[]): void {
    this.#items = [...items, ...this.#items.slice(this.#head)];
    this.#head = 0;
  }
}

export interface ModelLine {
  readonly model: SimulatedModel;
  readonly line: Line;
  /** Requests so far, for its rate. */
  arrived: number;
}

export interface Running {
  readonly device: string;
  readonly model: ModelLine;
  readonly taken: readonly Waiting[];
  readonly startedAt: number;
  readonly endsAt: number;
}

/** A device that is up. */
export interface Place {
  readonly device: Device;
  /** When it last used each model that it holds; `undefined` when it holds every model. */
  readonly usedAt: Map<string, number> | undefined;
  /** What it loads. */
  loading: ModelLine | undefined;
}

/**
 * As described: times are known exactly, and nothing costs time but batches, and loads with a policy that loads. Models
 * run where devices hold them: all of them on all devices unless a simulation says otherwise.
 */
export abstract class Baseline implements Policy {
  nextWake: number = Infinity;
  protected readonly lines: readonly ModelLine[];
  protected readonly free: string[] = [];
  protected readonly running: Map<number, Running> = new Map();
  protected readonly places: Map<string, Place> = new Map();
  /** Whether some device does not hold every model. */
  protected isPlaced: boolean = false;
  protected now: number = 0;
  /** Models that a device has come up with: it comes back with them when it goes down. */
  readonly #hosted = new Set<string>();
  readonly #byKey: ReadonlyMap<string, ModelLine>;
  #nextBatch = 1;
  #commands: PolicyCommand[] = [];

  constructor(models: readonly SimulatedModel[]) {
    this.lines = models.map((model) => ({ model, line: new Line(), arrived: 0 }));
    this.#byKey = new Map(this.lines.map((one) => [one.model.key, one]));
  }

  handle(event: SchedulerEvent<ScheduledRequest>, now: number): readonly PolicyCommand[] {
    this.#commands = [];
    this.now = now;
    this.nextWake = Infinity;
    this.#take(event);
    this.decide();
    return this.#commands;
  }

  /** Starts what is to start now, drops what is to be dropped, sets `nextWake`. */
  protected abstract decide(): void;

  /** A batch has ended. */
  protected ended(_batch: Running): void {}

  /** Whether requests may wait for a model that no device has held yet. */
  protected get loads(): boolean {
    return false;
  }

  protected modelOf(key: string): ModelLine {
    return this.#byKey.get(key)!;
  }

  protected holds(place: Place, { model }: ModelLine): boolean {
    return place.usedAt?.has(model.key) ?? true;
  }

  /** A free device that holds a model. */
  protected freeFor(model: ModelLine): string | undefined {
    return this.isPlaced
      ? this.free.find((device) => this.holds(this.places.get(device)!, model))
      : this.free[0];
  }

  /** The lines of models that a free device holds. */
  protected startable(): readonly ModelLine[] {
    if (this.free.length === 0) return [];
    return this.isPlaced ? this.lines.filter((model) => this.freeFor(model) !== undefined) : this.lines;
  }

  /** How long a batch of a model takes. */
  protected timeOf({ times }: SimulatedModel, units: number): number {
    return times.perItemMs * units + times.fixedMs;
  }

  /** Most units within a time. */
  protected unitsWithin({ times }: SimulatedModel, ms: number): number {
    return Math.floor((ms - times.fixedMs) / times.perItemMs + 1e-9);
  }

  /** Requests per millisecond for a model so far. */
  protected rateOf({ arrived }: ModelLine): number {
    return arrived / Math.max(1, this.now);
  }

  protected start(model: ModelLine, units: number, device: string): void {
    this.free.splice(this.free.indexOf(device), 1);
    this.places.get(device)!.usedAt?.set(model.model.key, this.now);
    const taken = model.line.take(units);
    const batch = this.#nextBatch;
    this.#nextBatch += 1;
    const endsAt = this.now + this.timeOf(model.model, taken.length);
    this.running.set(batch, { device, model, taken, startedAt: this.now, endsAt });
    const requests = taken.map(({ request }) => request);
    this.#commands.push({ type: "run", batch, device, model: model.model.key, requests });
  }

  protected drop(model: ModelLine, count: number, why: DropReason = "deadline"): void {
    for (const { request } of model.line.take(count)) this.#commands.push({ type: "drop", request, why });
  }

  /** Drops heads that cannot end in time even alone. */
  protected dropHopeless(model: ModelLine): void {
    const least = this.timeOf(model.model, 1);
    while ((model.line.at(0)?.request.deadline ?? Infinity) < this.now + least - 1e-9) this.drop(model, 1);
  }

  protected preempt(batch: number): void {
    const { device, model, taken } = this.running.get(batch)!;
    this.running.delete(batch);
    this.free.push(device);
    model.line.putBack(taken);
    this.#commands.push({ type: "preempt", batch });
  }

  protected load(place: Place, model: ModelLine): void {
    place.loading = model;
    this.#commands.push({ type: "load", device: place.device.id, model: model.model.key });
  }

  protected unload({ device, usedAt }: Place, key: string): void {
    usedAt!.delete(key);
    this.#commands.push({ type: "unload", device: device.id, model: key });
  }

  #take(event: SchedulerEvent<ScheduledRequest>): void {
    if (event.type === "request") this.#arrive(event.request);
    else if (event.type === "device-up") this.#up(event.device, event.loaded);
    else if (event.type === "loaded") {
      const place = this.places.get(event.device)!;
      place.loading = undefined;
      place.usedAt!.set(event.model, this.now);
    } else if (event.type === "device-down") this.#lose(event.device);
    else if (event.type === "batch-done") {
      const batch = this.running.get(event.batch)!;
      this.running.delete(event.batch);
      this.free.push(batch.device);
      this.ended(batch);
    }
  }

  #arrive(request: ScheduledRequest): void {
    const model = this.modelOf(request.model);
    model.arrived += 1;
    model.line.add({ request, arrivedAt: this.now });
    if (this.isPlaced && !this.loads && !this.#hosted.has(request.model)) this.drop(model, 1, "unloadable");
  }

  #up(device: Device, loaded: readonly string[] | undefined): void {
    const usedAt = loaded && new Map(loaded.map((key) => [key, this.now]));
    this.places.set(device.id, { device, usedAt, loading: undefined });
    this.free.push(device.id);
    if (loaded === undefined) return;
    for (const key of loaded) this.#hosted.add(key);
    if (loaded.length < this.lines.length) this.isPlaced = true;
  }

  #lose(device: string): void {
    this.places.delete(device);
    const at = this.free.indexOf(device);
    if (at >= 0) this.free.splice(at, 1);
    for (const [id, batch] of this.running) {
      if (batch.device !== device) continue;
      this.running.delete(id);
      for (const { request } of batch.taken)
        this.#commands.push({ type: "lost", request, device, why: "device-down" });
    }
  }
}

/** The line whose head has waited longest. */
export function oldestOf(lines: readonly ModelLine[]): ModelLine | undefined {
  return firstBy(lines, ({ arrivedAt }) => arrivedAt);
}

/** The line whose head has the earliest deadline. */
export function mostUrgentOf(lines: readonly ModelLine[]): ModelLine | undefined {
  return firstBy(lines, ({ request }) => request.deadline);
}

function firstBy(lines: readonly ModelLine[], rank: (head: Waiting) => number): ModelLine | undefined {
  let best: ModelLine | undefined;
  let least = Infinity;
  for (const one of lines) {
    const head = one.line.at(0);
    if (head === undefined || rank(head) >= least) continue;
    best = one;
    least = rank(head);
  }
  return best;
}
