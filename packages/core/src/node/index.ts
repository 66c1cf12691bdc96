// @holdfast/core/node: Fetch handlers on node:http.
export { nodeHandler } from "./node-handler.ts";
export type { NodeHandlerOptions, NodeListener } from "./node-handler.ts";
export { serve } from "./serve.ts";
export type { RunningServer, ServeOptions, UpgradeHandler } from "./serve.ts";
