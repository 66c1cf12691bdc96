// What of a device's memory is ours and what is others', told apart by what was measured to be free.
import type { ScheduledRequest } from "./contract.ts";
import type { DeviceState, ModelState } from "./state.ts";

/** How the memory of a device stands, in bytes. */
export interface DeviceMemory {
  /** Taken by models, reserved for them, or taken by others. */
  readonly usedBytes: number;
  /** What of that others take, as it was measured last. 0 where nothing measures. */
  readonly foreignBytes: number;
}

/** What our models take of a device, in bytes. */
export interface TakenMemory {
  /** Of those that are loaded: all of it is taken. */
  readonly restingBytes: number;
  /** Of loads and unloads under way: any part of it is. */
  readonly movingBytes: number;
}

type Sizes = Pick<DeviceState<ScheduledRequest>, "memoryBytes" | "roomBytes" | "freeBytes">;

export function memoryOf({ memoryBytes, roomBytes, freeBytes }: Sizes): DeviceMemory {
  return { usedBytes: memoryBytes - freeBytes, foreignBytes: memoryBytes - roomBytes };
}

export function takenOn<R extends ScheduledRequest>(
  device: DeviceState<R>,
  models: readonly ModelState<R>[],
): TakenMemory {
  let restingBytes = 0;
  let movingBytes = 0;
  for (const [index, { state }] of device.holds) {
    const { memoryBytes } = models[index]!;
    if (state === "loading" || state === "unloading") movingBytes += memoryBytes;
    else if (state !== "planned") restingBytes += memoryBytes;
  }
  return { restingBytes, movingBytes };
}

/**
 * What of a device is not others', after a measurement. It is what our models take and what is free. What moves may or may
 * not have been taken when that was measured: of all that is possible then, it is what is nearest to what it was.
 * So what is free by the books is never more than was measured, and a load is never counted twice.
 */
export function roomFor(
  { memoryBytes, roomBytes }: Pick<Sizes, "memoryBytes" | "roomBytes">,
  { restingBytes, movingBytes }: TakenMemory,
  freeBytes: number,
): number {
  const least = restingBytes + freeBytes;
  const most = least + movingBytes;
  return Math.min(memoryBytes, Math.max(least, Math.min(most, roomBytes)));
}
