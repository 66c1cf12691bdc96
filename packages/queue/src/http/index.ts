// @holdfast/queue/http: tasks as a Fetch handler.
export { taskApi } from "./task-api.ts";
export type { Submission, TaskApiOptions } from "./task-api.ts";
export type { FileResult, TaskBody } from "./task-body.ts";
