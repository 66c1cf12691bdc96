// The kind of task there is, and how it is run: on the pool, cancelled with its task.
import { hasCode } from "@holdfast/core";
import type { GpuPool, Model } from "@holdfast/gpu-pool";
import type { TaskDefinition, TaskHandler } from "@holdfast/queue";
import { defineTask, handle, PermanentError } from "@holdfast/queue";
import type { FileResult } from "@holdfast/queue/http";
import { modelFor } from "./models.ts";
import type { Job } from "./operation.ts";

/** Makes a picture. A thread that dies is given one more try; a model that fails would fail again. */
export const pictureTask: TaskDefinition<Job, Job, FileResult, FileResult> = defineTask<
  Job,
  Job,
  FileResult,
  FileResult
>({ name: "picture", attempts: 2, timeout: "2m", keepFor: "30m" });

/** Runs picture tasks on a pool. */
export function pictureHandler(pool: GpuPool): TaskHandler {
  return handle(pictureTask, async ({ input, signal, remainingMs, progress }) => {
    try {
      const png = await pool.run(modelFor(input) as Model<Job, Uint8Array>, input, {
        signal,
        deadline: Math.max(1, remainingMs),
        // Not awaited: what cannot be recorded any more aborts the signal as well.
        onProgress: (value) => void progress(value).catch(() => {}),
      });
      return { contentType: "image/png", bytes: png };
    } catch (error) {
      if (hasCode(error, "MODEL_FAILED")) throw new PermanentError(error.message, { cause: error });
      throw error;
    }
  });
}
