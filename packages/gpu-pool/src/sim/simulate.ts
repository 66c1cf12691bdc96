// Runs a scheduler against a trace on virtual time: devices that take as long as they are said to, and that may fail.
import type { Random } from "@holdfast/core";
import { seededRandom } from "@holdfast/core";
import type { Device } from "../device.ts";
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "../scheduler/contract.ts";
import { IdMap } from "../scheduler/id-map.ts";
import { RankHeap } from "../scheduler/rank-heap.ts";
import { Slots } from "../scheduler/slots.ts";
import type { Trace } from "./arrivals.ts";
import type { SimulatedModel } from "./model.ts";
import type { Policy, PolicyCommand } from "./policies/baseline.ts";
import type { ScalePoint, SimulatedScaling } from "./rented-devices.ts";
import { RentedDevices } from "./rented-devices.ts";

export interface SimulationOptions {
  readonly scheduler: Policy;
  readonly trace: Trace;
  readonly models: readonly SimulatedModel[];
  readonly devices: readonly Device[];
  /** Models that each device has loaded at the start. @defaultValue all */
  readonly loaded?: (device: Device) => readonly string[];
  /** Batches take up to this share longer, uniformly drawn. @defaultValue 0 */
  readonly jitter?: number;
  /** Each device fails after an exponentially drawn time with this mean, and is back after the second one. */
  readonly failures?: { readonly everyMs: number; readonly forMs: number };
  /** For jitter and failures. @defaultValue 1 */
  readonly seed?: number;
  /** Keeps what every device did, for a chart. @defaultValue false */
  readonly timeline?: boolean;
  /** Devices that come and go with the work, beside those that are always there. */
  readonly autoscale?: SimulatedScaling;
  /** Told of every event and what was answered to it, to be checked. */
  readonly onEvent?: (
    event: SchedulerEvent<ScheduledRequest>,
    commands: readonly PolicyCommand[],
    now: number,
  ) => void;
}

/** A batch that ran. Times in milliseconds from the start. */
export interface TimelineBatch {
  readonly device: string;
  readonly model: string;
  readonly units: number;
  readonly start: number;
  readonly end: number;
}

export interface SimulationResult {
  readonly requests: number;
  /** Ended within their deadlines. */
  readonly good: number;
  /** Ended too late. */
  readonly late: number;
  /** Dropped early, refused or lost. */
  readonly dropped: number;
  /** `good ÷ requests`. */
  readonly goodShare: number;
  /** From the first arrival to the last end. */
  readonly spanMs: number;
  /** How many devices were busy on average. */
  readonly busyDevices: number;
  readonly batches: number;
  /** Requests in a batch, on average. */
  readonly meanBatch: number;
  /** Of those that ended, in milliseconds, ascending. */
  readonly latencies: Float64Array;
  readonly timeline: readonly TimelineBatch[];
  /** Whenever devices were added or taken away by an autoscaler. */
  readonly scaling: readonly ScalePoint[];
  /** Device time that was paid for: of those that are always there, and of others from their order on. */
  readonly paidMs: number;
}

type Run = SchedulerCommand<ScheduledRequest> & { readonly type: "run" };

/** A batch that runs, and will end. */
interface RunningBatch {
  readonly run: Run;
  readonly units: number;
  readonly start: number;
  /** Its number in the heap of what is coming. */
  readonly slot: number;
}

/** Anything else that will happen. */
interface Later {
  readonly happen: () => void;
  readonly slot: number;
}

/**
 * Runs a simulation to its end. Deterministic: the same options give the same result.
 *
 * @example
 * ```ts
 * import { Scheduler } from "@holdfast/gpu-pool";
 * import { drawTrace, simulate } from "@holdfast/gpu-pool/sim";
 *
 * const model = { key: "m@1", times: { perItemMs: 1, fixedMs: 5 }, sloMs: 50 };
 * const { goodShare } = simulate({
 *   scheduler: new Scheduler({ models: [{ ...model, maxBatch: 32 }], queueLimit: 10_000 }),
 *   trace: drawTrace({ count: 1_000, ratePerSecond: 300, seed: 1 }),
 *   models: [model],
 *   devices: [{ id: "gpu-0", capacity: 1 }],
 * });
 * goodShare; // => 1
 * ```
 */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #models: ReadonlyMap<string, SimulatedModel>;
  readonly #coming = new RankHeap<RunningBatch | Later>(({ slot }) => slot);
  readonly #slots = new Slots();
  readonly #running = new IdMap<RunningBatch>();
  readonly #loading = new Map<string, Later>();
  readonly #random: Random;
  readonly #latencies: Float64Array;
  readonly #timeline: TimelineBatch[] = [];
  #now = 0;
  #order = 0;
  #open = 0;
  #good = 0;
  #late = 0;
  #dropped = 0;
  #busyMs = 0;
  #batches = 0;
  #ended = 0;
  #inBatches = 0;
  readonly #arrivals: Float64Array;
  #nextArrival = 0;
  readonly #rented: RentedDevices | undefined;

  constructor(private readonly options: SimulationOptions) {
    this.#models = new Map(options.models.map((model) => [model.key, model]));
    this.#arrivals = options.trace.times;
    this.#latencies = new Float64Array(this.#arrivals.length);
    this.#random = seededRandom(options.seed ?? 1);
    const { autoscale } = options;
    if (autoscale !== undefined)
      this.#rented = new RentedDevices(autoscale, {
        later: (ms, happen) => void this.#later(ms, happen),
        tell: (event) => this.#tell(event),
        up: (device) => this.#up(device),
        isRunning: (device) => this.#runningOn(device).length > 0,
      });
  }

  run(): SimulationResult {
    const { scheduler, devices } = this.options;
    for (const device of devices) this.#up(device);
    // Those that are to be there from the start.
    if (this.#rented !== undefined) this.#tell({ type: "timer" });
    for (;;) {
      const arrival = this.#arrivals[this.#nextArrival] ?? Infinity;
      const isOver = arrival === Infinity && this.#open === 0;
      if (isOver) break;
      const wake = Math.min(scheduler.nextWake, this.#rented?.nextWake ?? Infinity);
      const next = Math.min(arrival, this.#coming.firstAt, wake);
      if (next === Infinity) break;
      this.#now = Math.max(this.#now, next);
      // What has ended makes room for what comes; a timer is the last word.
      if (this.#coming.firstAt <= next) {
        const coming = this.#coming.first!;
        this.#cancel(coming);
        if ("run" in coming) this.#end(coming);
        else coming.happen();
      } else if (arrival <= next) this.#arrive();
      else this.#tell({ type: "timer" });
    }
    return this.#result();
  }

  #arrive(): void {
    const { trace, models } = this.options;
    const { key, sloMs } = models[trace.models[this.#nextArrival]!]!;
    const id = this.#nextArrival + 1;
    this.#nextArrival += 1;
    this.#open += 1;
    this.#tell({
      type: "request",
      request: { id, model: key, priority: 0, deadline: this.#now + sloMs },
    });
  }

  #tell(event: SchedulerEvent<ScheduledRequest>): void {
    const commands = this.options.scheduler.handle(event, this.#now);
    this.options.onEvent?.(event, commands, this.#now);
    for (const command of commands) this.#follow(command);
    if (this.#rented === undefined) return;
    const told = commands.filter((one) => one.type !== "preempt");
    this.#rented.follow(event, told, this.#now);
  }

  #follow(command: PolicyCommand): void {
    switch (command.type) {
      case "run":
        this.#run(command);
        break;
      case "drop":
      case "refuse":
      case "lost":
        this.#open -= 1;
        this.#dropped += 1;
        break;
      case "load":
        this.#load(command.device, command.model);
        break;
      case "unload":
        this.#later(0, () => this.#tell({ ...command, type: "unloaded" }));
        break;
      case "preempt":
        this.#preempt(command.batch);
        break;
      case "stop":
      case "granted":
      case "denied":
      case "gone":
      case "revoked":
        break;
    }
  }

  #run(run: Run): void {
    const { perItemMs, fixedMs } = this.#models.get(run.model)!.times;
    const units = run.requests.reduce((sum, { size }) => sum + (size ?? 1), 0);
    const longer = 1 + (this.options.jitter ?? 0) * (this.options.jitter ? this.#random() : 0);
    const batch = { run, units, start: this.#now, slot: this.#slots.take() };
    this.#put(batch, (perItemMs * units + fixedMs) * longer);
    this.#running.set(run.batch, batch);
  }

  #end(batch: RunningBatch): void {
    this.#stop(batch);
    this.#finish(batch.run.requests);
    this.#tell({ type: "batch-done", batch: batch.run.batch });
  }

  #preempt(id: number): void {
    const batch = this.#running.get(id)!;
    this.#cancel(batch);
    this.#stop(batch);
  }

  #runningOn(device: string): readonly RunningBatch[] {
    return [...this.#running.values()]
      .filter(({ run }) => run.device === device)
      .sort((a, b) => a.run.batch - b.run.batch);
  }

  #finish(requests: readonly ScheduledRequest[]): void {
    this.#batches += 1;
    for (const { id, deadline } of requests) {
      this.#open -= 1;
      this.#latencies[this.#inBatches] = this.#now - this.#arrivals[id - 1]!;
      this.#inBatches += 1;
      // The last digit of a sum of times is no reason to call it late.
      if (this.#now <= deadline + 1e-6) this.#good += 1;
      else this.#late += 1;
    }
  }

  /** It has ended, or was ended. */
  #stop({ run: { batch, device, model }, units, start }: RunningBatch): void {
    const end = this.#now;
    this.#running.delete(batch);
    this.#busyMs += end - start;
    this.#ended = Math.max(this.#ended, end);
    if (this.options.timeline === true) this.#timeline.push({ device, model, units, start, end });
  }

  #load(device: string, model: string): void {
    const key = `${device} ${model}`;
    const done = this.#later(this.#models.get(model)!.loadMs ?? 0, () => {
      this.#loading.delete(key);
      this.#tell({ type: "loaded", device, model });
    });
    this.#loading.set(key, done);
  }

  #up(device: Device): void {
    const { loaded, failures } = this.options;
    this.#tell({ type: "device-up", device, ...(loaded ? { loaded: loaded(device) } : {}) });
    if (failures !== undefined)
      this.#later(-Math.log(1 - this.#random()) * failures.everyMs, () => this.#fail(device, failures.forMs));
  }

  #fail(device: Device, forMs: number): void {
    for (const batch of this.#runningOn(device.id)) {
      this.#cancel(batch);
      this.#stop(batch);
    }
    for (const [key, loaded] of this.#loading) {
      if (!key.startsWith(`${device.id} `)) continue;
      this.#cancel(loaded);
      this.#loading.delete(key);
    }
    this.#tell({ type: "device-down", device: device.id });
    this.#later(forMs, () => this.#up(device));
  }

  #later(ms: number, happen: () => void): Later {
    const later = { happen, slot: this.#slots.take() };
    this.#put(later, ms);
    return later;
  }

  #put(coming: RunningBatch | Later, ms: number): void {
    this.#order += 1;
    this.#coming.put(coming, 0, this.#now + ms, this.#order);
  }

  /** It does not come any more, or has come. */
  #cancel(coming: RunningBatch | Later): void {
    this.#coming.remove(coming);
    this.#slots.giveBack(coming.slot);
  }

  #result(): SimulationResult {
    const requests = this.#arrivals.length;
    const spanMs = this.#ended - (this.#arrivals[0] ?? 0);
    const latencies = this.#latencies.subarray(0, this.#inBatches);
    let isSorted = false;
    return {
      requests,
      good: this.#good,
      late: this.#late,
      dropped: this.#dropped,
      goodShare: this.#good / requests,
      spanMs,
      busyDevices: this.#busyMs / spanMs,
      batches: this.#batches,
      meanBatch: this.#inBatches / Math.max(1, this.#batches),
      // Sorted for whoever asks: of hundreds of thousands that takes longer than to count them all.
      get latencies(): Float64Array {
        if (!isSorted) latencies.sort();
        isSorted = true;
        return latencies;
      },
      timeline: this.#timeline,
      scaling: this.#rented?.points ?? [],
      paidMs: this.options.devices.length * spanMs + (this.#rented?.paidMs(this.#now) ?? 0),
    };
  }
}
