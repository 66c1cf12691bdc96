// Starts a task so that what it throws at once rejects like anything it throws later.
import type { Context, Task } from "@holdfast/core";

/** Not an async function: the task's own promise is watched, without a second one around it. */
export function started<T>(task: Task<T>, context: Context): Promise<Awaited<T>> {
  try {
    return Promise.resolve(task(context));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}
