// The kind of task there is, and how it is run: on the pool, cancelled with its task.
import type { CircuitBreakers } from "@holdfast/breaker";
import { circuitBreakers, consecutive } from "@holdfast/breaker";
import type { Clock } from "@holdfast/core";
import { hasCode } from "@holdfast/core";
import type { GpuPool, Model } from "@holdfast/gpu-pool";
import type { TaskDefinition, TaskHandler } from "@holdfast/queue";
import { defineTask, handle, PermanentError } from "@holdfast/queue";
import type { FileResult } from "@holdfast/queue/http";
import { modelFor } from "./models.ts";
import type { Job } from "./operation.ts";
import type { Predictions } from "./predictions.ts";
import { predictionKey } from "./predictions.ts";

/** Makes a picture. A thread that dies is no reason to give up; a model that fails would fail again. */
export const pictureTask: TaskDefinition<Job, Job, FileResult, FileResult> = defineTask<
  Job,
  Job,
  FileResult,
  FileResult
>({ name: "picture", attempts: 5, timeout: "2m", keepFor: "30m" });

/**
 * A breaker for each model: one that keeps ending its threads is left alone for a while, before the pool takes the
 * threads for broken. What fails by itself says nothing about the threads.
 */
export function modelBreakers(clock: Clock): CircuitBreakers {
  return circuitBreakers({
    name: "model",
    trip: consecutive({ failures: 2 }),
    openFor: { initial: "5s", max: "1m" },
    isFailure: (error) => hasCode(error, "WORKER_CRASHED") || hasCode(error, "DEADLINE_EXCEEDED"),
    clock,
  });
}

/** Runs picture tasks on a pool, unless the picture is there. A refused one is tried again when its breaker says so. */
export function pictureHandler(
  pool: GpuPool,
  breakers: CircuitBreakers,
  predictions: Predictions,
): TaskHandler {
  return handle(pictureTask, async ({ input, signal, remainingMs, progress }) => {
    const model = modelFor(input) as Model<Job, Uint8Array>;
    const key = predictionKey(model, input);
    const known = await predictions.get(key);
    if (known !== undefined) return { contentType: "image/png", bytes: known };
    try {
      const png = await breakers.for(model.name).run(
        (context) =>
          pool.run(model, input, {
            signal: context.signal,
            deadline: Math.max(1, remainingMs),
            // Not awaited: what cannot be recorded any more aborts the signal as well.
            onProgress: (value) => void progress(value).catch(() => {}),
          }),
        { signal },
      );
      await predictions.set(key, png);
      return { contentType: "image/png", bytes: png };
    } catch (error) {
      if (hasCode(error, "MODEL_FAILED")) throw new PermanentError(error.message, { cause: error });
      throw error;
    }
  });
}
