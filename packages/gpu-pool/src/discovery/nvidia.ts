// Which NVIDIA GPUs there are, as `nvidia-smi` tells: whole ones, or their MIG instances.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";

/** A GPU, or a part of one. Its memory is not known where `nvidia-smi` says `[N/A]`, as of those that share the host's. */
export interface NvidiaDevice extends Device {
  /** What `CUDA_VISIBLE_DEVICES` takes. */
  readonly uuid: string;
  /** Such as `"NVIDIA H100 80GB HBM3"`; with the profile for a MIG instance. */
  readonly type: string;
}

export interface NvidiaDevicesOptions {
  /** @defaultValue "nvidia-smi" */
  readonly command?: string;
  /** Batches a device runs at a time. @defaultValue 1 */
  readonly capacity?: number;
  /** Memory left to others on each device, in bytes. @defaultValue 1 GiB */
  readonly reservedBytes?: number;
  readonly signal?: AbortSignal;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A command that hangs, as beside a GPU that is lost, is ended after this long. */
const FREE_TIMEOUT_MS = 5_000;

/** What is asked of each GPU, in this order. */
const FIELDS = "index,uuid,name,memory.total,mig.mode.current";

/**
 * The GPUs of this machine, in the order of their index. None when there is no `nvidia-smi`. Rejects when there is one
 * that fails, with what it says.
 */
export async function nvidiaDevices(options: NvidiaDevicesOptions = {}): Promise<readonly NvidiaDevice[]> {
  const { command = "nvidia-smi", signal } = options;
  const run = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(command, args, signal ? { signal } : {});
    return stdout;
  };
  try {
    const gpus = await run(`--query-gpu=${FIELDS}`, "--format=csv,noheader,nounits");
    const instances = gpus.includes("Enabled") ? await run("-L") : "";
    return readNvidiaSmi(gpus, instances, options);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * How much memory of a GPU is free, in bytes, whoever took the rest; `undefined` where `nvidia-smi` says `[N/A]`. Rejects
 * with what it says when it fails, as it does for a MIG instance, or when it takes longer than 5 s.
 *
 * @param uuid - Of the GPU, as `nvidiaDevices` names it, or its index.
 *
 * @example
 * ```ts no-run: runs in a worker, beside a GPU
 * import { serveModels } from "@holdfast/gpu-pool/child-processes";
 * import { nvidiaFreeMemory } from "@holdfast/gpu-pool/discovery";
 *
 * const gpu = process.env["CUDA_VISIBLE_DEVICES"]!;
 * serveModels({ double: (number: number) => 2 * number }, { freeMemory: () => nvidiaFreeMemory(gpu) });
 * ```
 */
export async function nvidiaFreeMemory(
  uuid: string,
  options: Pick<NvidiaDevicesOptions, "command" | "signal"> = {},
): Promise<number | undefined> {
  optionsOf("nvidiaFreeMemory").string("uuid", uuid);
  const { command = "nvidia-smi", signal } = options;
  const args = [`--id=${uuid}`, "--query-gpu=memory.free", "--format=csv,noheader,nounits"];
  const { stdout } = await promisify(execFile)(command, args, {
    timeout: FREE_TIMEOUT_MS,
    ...(signal ? { signal } : {}),
  });
  const mib = Number(stdout.trim());
  return stdout.trim() !== "" && mib >= 0 ? mib * MIB : undefined;
}

/**
 * Reads what `nvidia-smi` prints.
 *
 * @param gpus - Of `--query-gpu=index,uuid,name,memory.total,mig.mode.current --format=csv,noheader,nounits`.
 * @param instances - Of `-L`; only needed where MIG is on.
 *
 * @example
 * ```ts
 * import { readNvidiaSmi } from "@holdfast/gpu-pool/discovery";
 *
 * const [gpu] = readNvidiaSmi("0, GPU-8f6d, NVIDIA A10G, 23028, [N/A]\n");
 * gpu!.type; // => "NVIDIA A10G"
 * ```
 */
export function readNvidiaSmi(
  gpus: string,
  instances = "",
  options: Pick<NvidiaDevicesOptions, "capacity" | "reservedBytes"> = {},
): readonly NvidiaDevice[] {
  const check = optionsOf("nvidiaDevices");
  const capacity = check.integer("capacity", options.capacity, { min: 1 }, 1);
  const reservedBytes = check.integer("reservedBytes", options.reservedBytes, { min: 0 }, GIB);
  return gpus
    .split(/\r?\n/)
    .map((line) => line.split(",").map((cell) => cell.trim()))
    .filter((cells) => cells.length >= 4)
    .flatMap(([index = "", uuid = "", type = "", totalMib = "", mig = ""]) => {
      if (mig === "Enabled") return migInstances(index, type, instances, capacity, reservedBytes);
      const gpu = { id: `gpu-${index}`, uuid, type, capacity };
      const total = Number(totalMib) * MIB;
      return [total >= 0 ? { ...gpu, memoryBytes: Math.max(0, total - reservedBytes) } : gpu];
    });
}

/** The instances below their GPU in the list; their memory is in the name of their profile, such as `3g.20gb`. */
function migInstances(
  index: string,
  type: string,
  list: string,
  capacity: number,
  reservedBytes: number,
): readonly NvidiaDevice[] {
  const found: NvidiaDevice[] = [];
  let isBelow = false;
  for (const line of list.split(/\r?\n/)) {
    const gpu = /^GPU (\d+):/.exec(line)?.[1];
    if (gpu !== undefined) isBelow = gpu === index;
    const [, profile, gigabytes, number, uuid] =
      /^\s+MIG (\S*?\.?(\d+)gb\S*)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)/.exec(line) ?? [];
    if (!isBelow || profile === undefined || uuid === undefined) continue;
    const memoryBytes = Math.max(0, Number(gigabytes) * GIB - reservedBytes);
    found.push({
      id: `gpu-${index}-mig-${number}`,
      uuid,
      type: `${type} MIG ${profile}`,
      capacity,
      memoryBytes,
    });
  }
  return found;
}
