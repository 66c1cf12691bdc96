// @holdfast/core/node: what needs Node: Fetch handlers on node:http, and files with one owner.
export { BodyTakenError } from "./body-taken-error.ts";
export { lockFile } from "./file-lock.ts";
export type { FileLock, FileLockHolder } from "./file-lock.ts";
export { nodeHandler } from "./node-handler.ts";
export type { NodeHandlerOptions, NodeListener } from "./node-handler.ts";
export { serve } from "./serve.ts";
export type { RunningServer, ServeOptions, UpgradeHandler } from "./serve.ts";
