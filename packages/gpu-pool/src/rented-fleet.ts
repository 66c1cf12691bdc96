// Devices that come and go with the work: what the autoscaler decides, done with a provider.
import type { Clock } from "@holdfast/core";
import { asError, channel, ClosedError, optionsOf } from "@holdfast/core";
import type { Device } from "./device.ts";
import { checkDevice } from "./devices-of.ts";
import type { ScaleEvent } from "./observe.ts";
import type { AutoscalerOptions, ScaledWork } from "./scheduler/autoscaler.ts";
import { Autoscaler } from "./scheduler/autoscaler.ts";
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "./scheduler/contract.ts";
import type { DeviceProvider } from "./worker.ts";

const scaled = /* @__PURE__ */ channel<ScaleEvent>("gpu-pool", "scale");

export interface RentedFleetParts {
  readonly pool: string;
  readonly clock: Clock;
  readonly provider: DeviceProvider;
  readonly scaling: AutoscalerOptions;
  readonly work: ScaledWork;
  /** Whether the pool has a device of this ID. */
  readonly has: (device: string) => boolean;
  /** Puts a device into the pool. */
  readonly add: (device: Device) => void;
  /** What is to come has changed with no event of the scheduler: it may be due at another time. */
  readonly changed: () => void;
  /** Takes one out. Resolves once nothing runs there, and its worker has ended. */
  readonly remove: (device: string) => Promise<void>;
}

export class RentedFleet<Request extends ScheduledRequest> {
  readonly #scaler: Autoscaler<Request>;
  readonly #devices = new Map<string, Device>();
  readonly #life = new AbortController();
  /** Starts and returns under way. */
  readonly #open = new Set<Promise<void>>();

  constructor(private readonly parts: RentedFleetParts) {
    this.#scaler = new Autoscaler(parts.scaling, parts.work);
  }

  get nextWake(): number {
    return this.#life.signal.aborted ? Infinity : this.#scaler.nextWake;
  }

  /** Whether there need not be any device before the first request. */
  get mayBeEmpty(): boolean {
    return this.parts.scaling.min === 0;
  }

  follow(event: SchedulerEvent<Request>, answered: readonly SchedulerCommand<Request>[], now: number): void {
    if (this.#life.signal.aborted) return;
    for (const command of this.#scaler.handle(event, answered, now)) {
      if (command.type === "stop") this.#track(this.#return(command.device));
      else
        for (let one = 0; one < command.count; one += 1) {
          this.#tell("ordered");
          this.#track(this.#order());
        }
    }
  }

  /** A device is broken for good: it is given back, and another may take its place. */
  discard(device: string): void {
    if (!this.#devices.has(device) || this.#life.signal.aborted) return;
    this.#scaler.discard(device);
    this.#track(this.#return(device));
  }

  /**
   * Gives back all there are; those of the pool have been closed. A provider that takes longer than `withinMs` is not
   * waited for: what it brings or takes back after that, it does unseen.
   */
  async close(withinMs: number): Promise<void> {
    this.#life.abort(new ClosedError(`pool "${this.parts.pool}"`));
    const rest = [...this.#devices.values()];
    this.#devices.clear();
    const stop = new AbortController();
    const late = this.parts.clock.sleep(withinMs, stop.signal, { keepAlive: true }).catch(() => {});
    await Promise.race([late, Promise.all([...this.#open, ...rest.map((device) => this.#stop(device))])]);
    stop.abort();
  }

  async #order(): Promise<void> {
    const { provider, add } = this.parts;
    const { signal } = this.#life;
    let device: Device;
    try {
      device = await provider.start(signal);
    } catch (error) {
      if (!signal.aborted) this.#refused(error);
      return;
    }
    if (signal.aborted) {
      await this.#stop(device);
      return;
    }
    try {
      this.#check(device);
    } catch (error) {
      this.#refused(error);
      await this.#stop(device);
      return;
    }
    this.#scaler.provided(device.id);
    this.#devices.set(device.id, device);
    this.#tell("provided", { device: device.id });
    add(device);
  }

  /** Throws when what a provider brought cannot be a device of the pool. */
  #check(device: Device): void {
    const check = optionsOf("gpuPool");
    checkDevice(device, "autoscale: provider", check);
    if (this.parts.has(device.id))
      check.refuse("autoscale: provider", device.id, "devices with IDs of their own");
  }

  #refused(error: unknown): void {
    this.#scaler.refused(this.parts.clock.monotonic());
    this.#tell("refused", { reason: asError(error).message.slice(0, 200) });
    this.parts.changed();
  }

  async #return(id: string): Promise<void> {
    await this.parts.remove(id);
    const device = this.#devices.get(id);
    this.#devices.delete(id);
    this.#scaler.gone(id);
    // Unless the pool has closed meanwhile, which gives back all there were.
    if (device !== undefined) await this.#stop(device);
  }

  async #stop(device: Device): Promise<void> {
    // It may have brought nothing at all.
    if (typeof device !== "object" || device === null) return;
    try {
      await this.parts.provider.stop(device);
    } catch {
      // One that cannot be given back is the provider's to know: nothing here can do more.
    }
    this.#tell("returned", { device: device.id });
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(() => {}).finally(() => this.#open.delete(tracked));
    this.#open.add(tracked);
  }

  #tell(change: ScaleEvent["change"], more: Pick<ScaleEvent, "device" | "reason"> = {}): void {
    if (!scaled.hasSubscribers) return;
    scaled.publish({ pool: this.parts.pool, change, devices: this.#scaler.devices, ...more });
  }
}
