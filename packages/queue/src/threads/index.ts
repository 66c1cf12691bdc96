// @holdfast/queue/threads: handlers whose tasks run on threads.
export { ThreadCrashedError, ThreadTaskError } from "./errors.ts";
export type { ThreadHandlerOptions, ThreadTaskHandler } from "./thread-handler.ts";
export { threadHandler } from "./thread-handler.ts";
export type { ThreadContext, Transferred } from "./thread-work.ts";
export { threadWork, transferring } from "./thread-work.ts";
