// @holdfast/queue/http: tasks as a Fetch handler.
export type { AutoscaleApiOptions } from "./autoscale-api.ts";
export { autoscaleApi } from "./autoscale-api.ts";
export type { FileResult } from "./file-result.ts";
export { fileResult } from "./file-result.ts";
export type { AllowedOrigins } from "./own-origin.ts";
export type { Submission, TaskApiOptions } from "./task-api.ts";
export { taskApi } from "./task-api.ts";
export type { TaskBody } from "./task-body.ts";
