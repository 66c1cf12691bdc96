// The devices of a pool: started, watched, taken out one by one, and closed together.
import { channel } from "@holdfast/core";
import type { Device } from "./device.ts";
import { UnknownDeviceError, WorkerFailedError } from "./errors.ts";
import type { Model } from "./model.ts";
import type { DeviceEvent, DeviceSnapshot, RunningSnapshot } from "./observe.ts";
import { deviceSnapshot } from "./observe.ts";
import type { DeviceMemory } from "./scheduler/device-memory.ts";
import type { DeviceListener, SupervisionSettings } from "./supervised-device.ts";
import { SupervisedDevice } from "./supervised-device.ts";
import type { WorkerStarter } from "./worker.ts";

const deviceChanged = /* @__PURE__ */ channel<DeviceEvent>("gpu-pool", "device");

export interface FleetSettings {
  readonly pool: string;
  readonly supervision: SupervisionSettings;
  /** Longest each step of closing a device may take, in milliseconds. */
  readonly closeStepMs: number;
}

export interface FleetListener extends Omit<DeviceListener, "changed"> {
  /** A device has failed too often in a row. */
  quarantined(device: Device): void;
}

export class Fleet {
  readonly #devices = new Map<string, SupervisedDevice>();
  /** Devices that are being taken out, and who waits for that. */
  readonly #leaving = new Map<string, (() => void)[]>();
  readonly #listener: DeviceListener;

  constructor(
    private readonly settings: FleetSettings,
    /** Not told of devices that come up while they are being taken out. */
    listener: FleetListener,
  ) {
    this.#listener = {
      ...listener,
      up: (device) => {
        if (this.#leaving.has(device.id)) this.left(device.id);
        else listener.up(device);
      },
      changed: (supervised) => {
        this.#publish(supervised);
        if (supervised.status === "quarantined") listener.quarantined(supervised.device);
      },
    };
  }

  get size(): number {
    return this.#devices.size;
  }

  /** Why there is no device to run anything on; `undefined` when one is up, or none has failed. */
  get failure(): WorkerFailedError | undefined {
    const all = [...this.#devices.values()];
    if (all.some(({ status }) => status === "up")) return undefined;
    const failed = all.find(({ lastFailure }) => lastFailure !== undefined);
    return failed && new WorkerFailedError(failed.device.id, `is ${failed.status}: ${failed.lastFailure}`);
  }

  /** Starts a device, in the background. */
  add(device: Device, workers: WorkerStarter, preloaded: () => readonly Model[]): void {
    const { supervision } = this.settings;
    const supervised = new SupervisedDevice(device, workers, preloaded, supervision, this.#listener);
    this.#devices.set(device.id, supervised);
    void supervised.start();
  }

  has(id: string): boolean {
    return this.#devices.has(id);
  }

  get(id: string): SupervisedDevice {
    const device = this.#devices.get(id);
    if (device === undefined) throw new UnknownDeviceError(id);
    return device;
  }

  /**
   * Takes a device out, and shuts it down once it runs nothing. Resolves when it is.
   *
   * @param onFirst - Called unless it is being taken out already.
   */
  async drain(id: string, onFirst: () => void): Promise<void> {
    const device = this.get(id);
    if (device.status === "closed") return;
    await new Promise<void>((resolve) => {
      const waiting = this.#leaving.get(id);
      if (waiting !== undefined) {
        waiting.push(resolve);
        return;
      }
      this.#leaving.set(id, [resolve]);
      onFirst();
      this.left(id);
    });
  }

  /** Something that ran on a device has ended: one that is being taken out may be free to go. */
  left(id: string): void {
    const device = this.#devices.get(id);
    if (device === undefined || !this.#leaving.has(id) || device.running.size > 0) return;
    void device.close(this.settings.closeStepMs).then(() => this.#tellGone(id));
  }

  /** A device that was taken out is not shown any more. */
  forget(id: string): void {
    this.#devices.delete(id);
    this.#leaving.delete(id);
  }

  snapshot(
    describe: (id: number) => Omit<RunningSnapshot, "id">,
    memoryOf: (device: string) => DeviceMemory | undefined,
  ): readonly DeviceSnapshot[] {
    return [...this.#devices.values()].map((one) => deviceSnapshot(one, describe, memoryOf(one.device.id)));
  }

  async close(): Promise<void> {
    const { closeStepMs } = this.settings;
    await Promise.all([...this.#devices.values()].map((device) => device.close(closeStepMs)));
    for (const id of this.#leaving.keys()) this.#tellGone(id);
  }

  #tellGone(id: string): void {
    for (const tell of this.#leaving.get(id)?.splice(0) ?? []) tell();
  }

  #publish({ device, status, failuresInARow, lastFailure }: SupervisedDevice): void {
    if (!deviceChanged.hasSubscribers) return;
    deviceChanged.publish({
      pool: this.settings.pool,
      device: device.id,
      status,
      failuresInARow,
      ...(lastFailure === undefined ? {} : { lastFailure }),
    });
  }
}
