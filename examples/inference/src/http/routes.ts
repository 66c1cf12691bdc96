// Every address of the service.
import type { CircuitBreakers } from "@holdfast/breaker";
import type { Handler, Health, Prometheus } from "@holdfast/core";
import { problemResponse } from "@holdfast/core";
import type { GpuPool } from "@holdfast/gpu-pool";
import type { Queue } from "@holdfast/queue";
import { taskApi } from "@holdfast/queue/http";
import { MAX_LIVE_TASKS } from "../limits.ts";
import { admit, retryAfterMs } from "../work/admission.ts";
import { pictureTask } from "../work/picture-task.ts";
import type { Predictions } from "../work/predictions.ts";
import { readSubmission } from "./submission.ts";

export interface Parts {
  readonly queue: Queue;
  readonly pool: GpuPool;
  readonly intake: GpuPool;
  readonly breakers: CircuitBreakers;
  readonly predictions: Predictions;
  readonly dashboard: Handler;
  readonly health: Health;
  readonly numbers: Prometheus;
  readonly page: Handler;
  /** Told of every task that is added, by its ID. */
  readonly onAdded: (id: string) => unknown;
}

/** Where tasks live. */
export const TASKS = "/v1/tasks";

/** Where one looks at them; from this machine alone. */
export const DASHBOARD = "/queues";

/** One handler for all of it. */
export function routes(parts: Parts): Handler {
  const { queue, pool, intake, breakers, predictions, dashboard, health, numbers, page, onAdded } = parts;
  const tasks = taskApi({
    queue,
    base: TASKS,
    submit: async (request) => {
      await admit(queue, pool);
      return { task: pictureTask, input: await readSubmission(request, intake) };
    },
  });
  const state: Handler = async () => {
    const stats = await queue.stats();
    const devices = pool.snapshot();
    const live = stats.scheduled + stats.waiting + stats.ready + stats.running;
    return Response.json(
      {
        queue: stats,
        limit: MAX_LIVE_TASKS,
        live,
        // What whoever is refused would be told now.
        retryAfterMs: retryAfterMs(live, devices),
        pool: devices,
        intake: intake.snapshot(),
        predictions: predictions.snapshot(),
        openBreakers: breakers.open(),
      },
      { headers: { "cache-control": "no-store" } },
    );
  };
  return async (request) => {
    const { pathname } = new URL(request.url);
    try {
      if (isBelow(pathname, TASKS)) {
        const answer = await tasks(request);
        const location = answer.headers.get("location");
        if (answer.status === 202 && location !== null) onAdded(location.slice(TASKS.length + 1));
        return answer;
      }
      if (isBelow(pathname, DASHBOARD)) return await dashboard(request);
      if (pathname === "/v1/state") return await state(request);
      if (isBelow(pathname, "/health")) return await health.handler(request);
      if (pathname === "/metrics") return await numbers.handler(request);
      return await page(request);
    } catch (error) {
      if (error instanceof Error && "toProblem" in error) return problemResponse(error);
      throw error;
    }
  };
}

function isBelow(path: string, base: string): boolean {
  return path === base || path.startsWith(`${base}/`);
}
