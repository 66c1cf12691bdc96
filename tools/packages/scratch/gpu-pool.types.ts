// Uses @holdfast/gpu-pool from strict TypeScript.
import type { Device, GpuPoolOptions, ModelRegistry, WorkerAdapter } from "@holdfast/gpu-pool";
import { gpuPool, modelRegistry } from "@holdfast/gpu-pool";
import { childProcesses } from "@holdfast/gpu-pool/child-processes";
import { cpuDevices } from "@holdfast/gpu-pool/discovery";
import type { FileModelStoreOptions } from "@holdfast/gpu-pool/file";
import type { RedisModelStoreOptions } from "@holdfast/gpu-pool/redis";
import { redisModelStore } from "@holdfast/gpu-pool/redis";
import { ollamaServers } from "@holdfast/gpu-pool/servers";
import type { ModelRegistrySubject } from "@holdfast/gpu-pool/testing";
import type { Trace } from "@holdfast/gpu-pool/sim";
import { drawTrace } from "@holdfast/gpu-pool/sim";

export function start(options: GpuPoolOptions): AsyncDisposable {
  return gpuPool(options);
}

export const trace: Trace = drawTrace({ count: 10, ratePerSecond: 5, seed: 1 });

// @ts-expect-error a pool has workers and models
gpuPool();

export const servers: WorkerAdapter = ollamaServers({
  devices: [{ id: "ollama", url: "http://127.0.0.1:11434", capacity: 4 }],
});

export const processors: readonly Device[] = cpuDevices(1);

export const processes: WorkerAdapter = childProcesses({ module: new URL("file:///models.js"), devices: 2 });

export const file: FileModelStoreOptions = { path: "models.jsonl", poll: "500ms" };

export function shared(options: RedisModelStoreOptions): ModelRegistry {
  return modelRegistry({ store: redisModelStore(options) });
}

export const subject: ModelRegistrySubject = { make: () => modelRegistry() };
