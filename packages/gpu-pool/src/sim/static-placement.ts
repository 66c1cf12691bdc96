// Which models devices have at the start, and keep where a policy loads nothing.
import type { Device } from "../device.ts";
import type { SimulatedModel } from "./model.ts";

/**
 * Models by device, dealt round robin: in their order each gets the next device that has room and lacks it, again and
 * again until nothing fits any more. All of them on each device when there is room for that.
 *
 * @example
 * ```ts
 * import { dealtPlacement, simulatedDevices } from "@holdfast/gpu-pool/sim";
 *
 * const model = { times: { perItemMs: 1, fixedMs: 5 }, sloMs: 50, memoryBytes: 5e9 };
 * const models = ["a", "b", "c"].map((key) => ({ ...model, key }));
 * [...dealtPlacement(models, simulatedDevices(2, 10e9)).values()]; // => [["a", "c"], ["b", "a"]]
 * ```
 */
export function dealtPlacement(
  models: readonly SimulatedModel[],
  devices: readonly Device[],
): ReadonlyMap<string, readonly string[]> {
  const places = devices.map(({ id, memoryBytes = Infinity }) => ({
    id,
    free: memoryBytes,
    held: new Set<string>(),
  }));
  let turn = 0;
  const deal = ({ key, memoryBytes = 0 }: SimulatedModel): boolean => {
    for (let step = 0; step < places.length; step += 1) {
      const place = places[(turn + step) % places.length]!;
      if (place.held.has(key) || place.free < memoryBytes) continue;
      place.held.add(key);
      place.free -= memoryBytes;
      turn += step + 1;
      return true;
    }
    return false;
  };
  // Once a round deals nothing, no later one does.
  for (let dealt = true; dealt;) dealt = models.filter(deal).length > 0;
  return new Map(places.map(({ id, held }) => [id, [...held]]));
}
