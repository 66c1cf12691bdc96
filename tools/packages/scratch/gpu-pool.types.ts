// Uses @holdfast/gpu-pool from strict TypeScript.
import type { GpuPoolOptions } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";

export function start(options: GpuPoolOptions): AsyncDisposable {
  return gpuPool(options);
}

// @ts-expect-error a pool has workers and models
gpuPool();
