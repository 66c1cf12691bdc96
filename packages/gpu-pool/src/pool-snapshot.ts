// What a pool is like at one moment, put together from its parts.
import type { Fleet } from "./fleet.ts";
import type { Model } from "./model.ts";
import type { GpuPoolSnapshot } from "./observe.ts";
import type { PoolRequest, PoolRequests } from "./pool-requests.ts";
import type { Scheduler } from "./scheduler/scheduler.ts";

export interface PoolParts {
  readonly name: string;
  readonly draining: boolean;
  readonly models: readonly Model[];
  readonly scheduler: Scheduler<PoolRequest>;
  readonly requests: PoolRequests;
  readonly fleet: Fleet;
}

export function poolSnapshot(
  { name, draining, models, scheduler, requests, fleet }: PoolParts,
  now: number,
): GpuPoolSnapshot {
  return {
    kind: "gpu-pool",
    name,
    draining,
    waiting: scheduler.waiting,
    running: scheduler.running,
    capacity: scheduler.capacity,
    backlogMs: Math.round(scheduler.backlogMs),
    finished: requests.finished,
    retryAfterMs: scheduler.retryAfterMs,
    ended: requests.ended,
    models: models.map(({ key }) => key),
    modelStates: models.map(({ key, memoryBytes }) => ({
      key,
      memoryBytes,
      ...scheduler.modelCounts(key)!,
    })),
    devices: fleet.snapshot(
      (id) => {
        const { model = "", batch = 0, startedAt = now } = requests.get(id) ?? {};
        return { model, batch, ranMs: now - startedAt };
      },
      (device) => scheduler.memoryOf(device),
    ),
  };
}
