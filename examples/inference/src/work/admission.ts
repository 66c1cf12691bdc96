// Whether there is room for one more task, and when there will be: at the door, before anything is read.
import type { GpuPool, GpuPoolSnapshot } from "@holdfast/gpu-pool";
import { PoolSaturatedError } from "@holdfast/gpu-pool";
import type { Queue } from "@holdfast/queue";
import { MAX_LIVE_TASKS } from "../limits.ts";

/** While nothing has been measured, in milliseconds. */
const UNKNOWN_MS = 5_000;

/** The shortest that anybody is told, in milliseconds: the header has whole seconds. */
const LEAST_MS = 1_000;

/** @throws PoolSaturatedError with the time after which there is room. */
export async function admit(queue: Queue, pool: GpuPool): Promise<void> {
  const { scheduled, waiting, ready, running } = await queue.stats();
  const live = scheduled + waiting + ready + running;
  if (live >= MAX_LIVE_TASKS) throw new PoolSaturatedError(live, retryAfterMs(live, pool.snapshot()));
}

/** How long all that is live takes: the devices' measured time for what they have, for as many as there are. */
export function retryAfterMs(
  live: number,
  { backlogMs, waiting, running }: Pick<GpuPoolSnapshot, "backlogMs" | "waiting" | "running">,
): number {
  if (backlogMs === 0 || waiting + running === 0) return UNKNOWN_MS;
  return Math.max(LEAST_MS, Math.ceil((live * backlogMs) / (waiting + running)));
}
