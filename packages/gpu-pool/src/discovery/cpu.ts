// The processors of this machine as devices, for models that run without a GPU.
import { availableParallelism } from "node:os";
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";

/**
 * A device for each processor but one, which is left to the program itself. Its type is `"cpu"`, so that times are
 * measured apart from those of GPUs; list it after them, and it takes what they cannot.
 *
 * @param count - How many. From 1 to 256. @defaultValue processors − 1, at least 1
 * @throws InvalidOptionError when it is out of range.
 *
 * @example
 * ```ts
 * import { cpuDevices } from "@holdfast/gpu-pool/discovery";
 *
 * cpuDevices(2).map(({ id, type }) => `${id}: ${type}`); // => ["cpu-0: cpu", "cpu-1: cpu"]
 * ```
 */
export function cpuDevices(count?: number): readonly Device[] {
  const standard = Math.min(256, Math.max(1, availableParallelism() - 1));
  const many = optionsOf("cpuDevices").integer("count", count, { min: 1, max: 256 }, standard);
  return Array.from({ length: many }, (_, index) => ({ id: `cpu-${index}`, capacity: 1, type: "cpu" }));
}
