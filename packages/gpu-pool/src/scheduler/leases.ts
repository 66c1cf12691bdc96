// Leases on loaded models: whoever holds one finds the model where it was until the lease is released.
import type { SchedulerCommand, ScheduledRequest } from "./contract.ts";
import type { Placement } from "./placement.ts";
import type { DeviceState, ModelState } from "./state.ts";

interface Lease<Request extends ScheduledRequest> {
  readonly model: ModelState<Request>;
  device: DeviceState<Request> | undefined;
}

export class Leases<Request extends ScheduledRequest> {
  readonly #leases = new Map<number, Lease<Request>>();

  constructor(
    private readonly placement: Placement<Request>,
    private readonly emit: (command: SchedulerCommand<Request>) => void,
  ) {}

  /** Those that are held or waited for. */
  get size(): number {
    return this.#leases.size;
  }

  /** How many are held on a device. */
  on(device: DeviceState<Request>): number {
    let count = 0;
    for (const lease of this.#leases.values()) if (lease.device === device) count += 1;
    return count;
  }

  /** Granted at once where the model is loaded, on an idle device if there is one; later otherwise. */
  acquire(id: number, model: ModelState<Request>): void {
    this.#leases.set(id, { model, device: undefined });
    model.wantedBy.add(id);
    const idle = model.replicas.firstShared(this.placement.idle);
    const index = idle < 0 ? model.replicas.firstShared(model.replicas) : idle;
    if (index >= 0) this.grant(model, this.placement.device(index));
  }

  /** Gives every lease that waits for a model its place on a device. */
  grant(model: ModelState<Request>, device: DeviceState<Request>): void {
    for (const id of model.wantedBy) {
      const lease = this.#leases.get(id)!;
      lease.device = device;
      this.placement.lease(device, model, 1);
      this.emit({ type: "granted", lease: id, device: device.id });
    }
    model.wantedBy.clear();
  }

  /** A model cannot be had: nobody waits for it any longer. */
  deny(model: ModelState<Request>): void {
    for (const id of model.wantedBy) {
      this.#leases.delete(id);
      this.emit({ type: "denied", lease: id });
    }
    model.wantedBy.clear();
  }

  /** Given back, or not wanted any more. */
  release(id: number, now: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.delete(id);
    const { device, model } = lease;
    model.wantedBy.delete(id);
    if (device === undefined) return;
    this.placement.lease(device, model, -1);
    this.placement.letGo(device, model, now);
  }

  /** A device is gone, and the leases on it. */
  lost(device: DeviceState<Request>): void {
    for (const [id, lease] of this.#leases) {
      if (lease.device !== device) continue;
      this.#leases.delete(id);
      this.emit({ type: "revoked", lease: id, device: device.id });
    }
  }
}
