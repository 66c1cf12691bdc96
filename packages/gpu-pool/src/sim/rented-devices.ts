// Devices of a simulation that an autoscaler adds and takes away, and what they cost.
import type { Device } from "../device.ts";
import type { AutoscalerOptions, ScaledWork } from "../scheduler/autoscaler.ts";
import { Autoscaler } from "../scheduler/autoscaler.ts";
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "../scheduler/contract.ts";

/** Devices that come and go. */
export interface SimulatedScaling {
  readonly options: AutoscalerOptions;
  /** The scheduler of the simulation. */
  readonly work: ScaledWork;
  /** What each is like; its ID is added. */
  readonly device: Omit<Device, "id">;
  /** How long one takes from its order until it is up, in milliseconds. */
  readonly bootMs: number;
}

/** How many devices there were from a moment on, in milliseconds from the start. */
export interface ScalePoint {
  readonly at: number;
  readonly up: number;
  /** Ordered, and not up yet. */
  readonly coming: number;
}

/** What the simulation does for them. */
export interface RentedHooks {
  readonly later: (ms: number, happen: () => void) => void;
  readonly tell: (event: SchedulerEvent<ScheduledRequest>) => void;
  readonly up: (device: Device) => void;
  readonly isRunning: (device: string) => boolean;
}

export class RentedDevices {
  readonly points: ScalePoint[] = [];
  readonly #scaler: Autoscaler<ScheduledRequest>;
  /** By when each was ordered. */
  readonly #orderedAt = new Map<string, number>();
  readonly #leaving = new Set<string>();
  #ordered = 0;
  #next = 0;
  #endedMs = 0;

  constructor(
    private readonly scaling: SimulatedScaling,
    private readonly hooks: RentedHooks,
  ) {
    this.#scaler = new Autoscaler(scaling.options, scaling.work);
  }

  get nextWake(): number {
    return this.#scaler.nextWake;
  }

  /** Device time that was paid for up to now. */
  paidMs(now: number): number {
    let ms = this.#endedMs;
    for (const orderedAt of this.#orderedAt.values()) ms += now - orderedAt;
    return ms;
  }

  follow(
    event: SchedulerEvent<ScheduledRequest>,
    answered: readonly SchedulerCommand<ScheduledRequest>[],
    now: number,
  ): void {
    for (const command of this.#scaler.handle(event, answered, now)) {
      if (command.type === "start") this.#start(command.count, now);
      else {
        this.#leaving.add(command.device);
        this.hooks.tell({ type: "device-drain", device: command.device });
      }
    }
    for (const id of this.#leaving) if (!this.hooks.isRunning(id)) this.#giveBack(id, now);
  }

  #start(count: number, now: number): void {
    this.#ordered += count;
    for (let one = 0; one < count; one += 1) {
      const id = `rented-${this.#next}`;
      this.#next += 1;
      this.#orderedAt.set(id, now);
      this.hooks.later(this.scaling.bootMs, () => {
        this.#ordered -= 1;
        this.#scaler.provided(id);
        this.#note(now + this.scaling.bootMs);
        this.hooks.up({ ...this.scaling.device, id });
      });
    }
    this.#note(now);
  }

  #giveBack(id: string, now: number): void {
    this.#leaving.delete(id);
    this.#endedMs += now - this.#orderedAt.get(id)!;
    this.#orderedAt.delete(id);
    this.#scaler.gone(id);
    this.#note(now);
    this.hooks.tell({ type: "device-down", device: id });
  }

  #note(at: number): void {
    this.points.push({ at, up: this.#orderedAt.size - this.#ordered, coming: this.#ordered });
  }
}
