// Devices that go down and come back at set times, whatever the policy.
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import type { ScheduledRequest, SchedulerEvent } from "../scheduler/contract.ts";
import type { Policy, PolicyCommand } from "./policies/baseline.ts";

/** A device is away from one moment to another, in milliseconds from the start. What runs or is loaded there is lost. */
export interface Outage {
  readonly device: string;
  readonly downAt: number;
  readonly upAt: number;
}

interface Change {
  readonly at: number;
  readonly device: Device;
  readonly isUp: boolean;
}

/** @throws InvalidOptionError when an outage names no device, ends before it begins, or overlaps another there. */
export function checkOutages(owner: string, outages: readonly Outage[], devices: readonly Device[]): void {
  const check = optionsOf(owner);
  const known = new Set(devices.map(({ id }) => id));
  const backAt = new Map<string, number>();
  for (const { device, downAt, upAt } of outages.toSorted((a, b) => a.downAt - b.downAt)) {
    if (!known.has(device)) check.refuse("outages: device", device, `one of ${[...known].join(", ")}`);
    check.number("outages: downAt", downAt, { min: 0 });
    check.number("outages: upAt", upAt);
    if (upAt <= downAt) check.refuse("outages: upAt", upAt, `later than downAt, ${downAt}`);
    if (downAt < (backAt.get(device) ?? 0))
      check.refuse("outages", downAt, `outages of ${device} that do not overlap`);
    backAt.set(device, upAt);
  }
}

/** A policy that is told of outages, in a simulation that does not know of them. */
export class WithOutages implements Policy {
  readonly #changes: readonly Change[];
  #next = 0;
  /** Devices of the batches that run. */
  readonly #batches = new Map<number, string>();
  /** How many loads of a model are under way on a device, and how many of them nobody waits for any more. */
  readonly #loads = new Map<string, number>();
  readonly #lost = new Map<string, number>();

  constructor(
    private readonly inner: Policy,
    outages: readonly Outage[],
    devices: readonly Device[],
    /** What a device has when it is back; every model when nothing is said. */
    private readonly loaded: ((device: Device) => readonly string[]) | undefined,
  ) {
    const byId = new Map(devices.map((device) => [device.id, device]));
    this.#changes = outages
      .flatMap(({ device, downAt, upAt }) => [
        { at: downAt, device: byId.get(device)!, isUp: false },
        { at: upAt, device: byId.get(device)!, isUp: true },
      ])
      .sort((a, b) => a.at - b.at);
  }

  get nextWake(): number {
    return Math.min(this.inner.nextWake, this.#changes[this.#next]?.at ?? Infinity);
  }

  handle(event: SchedulerEvent<ScheduledRequest>, now: number): readonly PolicyCommand[] {
    const commands: PolicyCommand[] = [];
    if (!this.#isOfTheLost(event)) this.#tell(event, now, commands);
    for (;;) {
      const change = this.#changes[this.#next];
      if (change === undefined || change.at > now) return commands;
      this.#next += 1;
      if (change.isUp) this.#up(change.device, now, commands);
      else this.#down(change.device.id, now, commands);
    }
  }

  #up(device: Device, now: number, commands: PolicyCommand[]): void {
    const loaded = this.loaded?.(device);
    this.#tell({ type: "device-up", device, ...(loaded ? { loaded } : {}) }, now, commands);
  }

  #down(device: string, now: number, commands: PolicyCommand[]): void {
    for (const [batch, where] of this.#batches) {
      if (where !== device) continue;
      this.#batches.delete(batch);
      // To the simulation it is a batch that ends without a result.
      commands.push({ type: "preempt", batch });
    }
    for (const [key, count] of this.#loads) {
      if (!key.startsWith(`${device} `)) continue;
      this.#loads.delete(key);
      this.#lost.set(key, (this.#lost.get(key) ?? 0) + count);
    }
    this.#tell({ type: "device-down", device }, now, commands);
  }

  #tell(event: SchedulerEvent<ScheduledRequest>, now: number, commands: PolicyCommand[]): void {
    if (event.type === "batch-done") this.#batches.delete(event.batch);
    for (const command of this.inner.handle(event, now)) {
      commands.push(command);
      if (command.type === "run") this.#batches.set(command.batch, command.device);
      else if (command.type === "preempt") this.#batches.delete(command.batch);
      else if (command.type === "load") add(this.#loads, `${command.device} ${command.model}`, 1);
    }
  }

  /** The end of a load that began before its device went down. Loads of a model take equally long: the first come first. */
  #isOfTheLost(event: SchedulerEvent<ScheduledRequest>): boolean {
    if (event.type !== "loaded") return false;
    const key = `${event.device} ${event.model}`;
    const isLost = (this.#lost.get(key) ?? 0) > 0;
    add(isLost ? this.#lost : this.#loads, key, -1);
    return isLost;
  }
}

function add(counts: Map<string, number>, key: string, change: number): void {
  counts.set(key, (counts.get(key) ?? 0) + change);
}
