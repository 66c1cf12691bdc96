// The devices that a pool is given, one by one with the adapter that drives each, and what must be true of them.
import type { OptionReader } from "@holdfast/core";
import type { GpuPoolOptions } from "./contract.ts";
import type { Device } from "./device.ts";
import type { Model } from "./model.ts";
import type { WorkerAdapter } from "./worker.ts";

/**
 * Every device with its adapter, checked.
 *
 * @param rented - What those are like that come and go.
 */
export function devicesOf(
  workers: GpuPoolOptions["workers"],
  check: OptionReader,
  rented?: Omit<Device, "id">,
): readonly { readonly device: Device; readonly adapter: WorkerAdapter }[] {
  const adapters = Array.isArray(workers)
    ? (workers as readonly WorkerAdapter[])
    : [check.object("workers", workers as WorkerAdapter)];
  for (const { devices } of adapters)
    if (!Array.isArray(devices)) check.refuse("workers: devices", devices, "a list of devices");
  const all = adapters.flatMap((adapter) => adapter.devices.map((device) => ({ device, adapter })));
  if (all.length === 0 && rented === undefined)
    check.refuse("workers", workers, "adapters with at least one device");
  const seen = new Set<string>();
  for (const { device } of all) {
    checkDevice(device, "workers", check);
    if (seen.has(device.id)) check.refuse("workers", device.id, "devices with IDs of their own");
    seen.add(device.id);
  }
  return all;
}

/**
 * Refuses a device that has not been described as it should.
 *
 * @param by - Whose it is: the option that brought it.
 */
export function checkDevice(device: Device, by: string, check: OptionReader): void {
  const { id, capacity, memoryBytes, type, cost } = check.object(`${by}: device`, device);
  check.string(`${by}: id of a device`, id);
  check.integer(`${by}: capacity of ${id}`, capacity, { min: 1 });
  if (memoryBytes !== undefined) check.integer(`${by}: memoryBytes of ${id}`, memoryBytes, { min: 0 });
  if (cost !== undefined) check.number(`${by}: cost of ${id}`, cost, { min: 0 });
  if (type !== undefined && typeof type !== "string") check.refuse(`${by}: type of ${id}`, type, "a string");
}

/** Refuses a model that fits into none of the devices. */
export function checkFits({ key, memoryBytes }: Model, places: readonly Device[], check: OptionReader): void {
  const [largest] = places.toSorted((a, b) => roomOf(b) - roomOf(a));
  if (memoryBytes > roomOf(largest!))
    check.refuse("models", key, `models that fit into the ${roomOf(largest!)} bytes of ${largest!.id}`);
}

/** The models that a device loads at its start: as many as fit, in their order. */
export function preloadedOn(device: Device, models: readonly Model[]): readonly Model[] {
  let free = roomOf(device);
  return models.filter(({ memoryBytes }) => {
    if (memoryBytes > free) return false;
    free -= memoryBytes;
    return true;
  });
}

function roomOf({ memoryBytes = Infinity }: Device): number {
  return memoryBytes;
}
