// @holdfast/gpu-pool/child-processes: devices that are processes of their own, and the models they serve.
export type {
  BatchContext,
  BatchFunction,
  LoadableModel,
  ModelContext,
  ModelFunction,
  ServedModels,
  ServeOptions,
} from "../served/model-function.ts";
export { serveModels } from "../served/serve-models.ts";
export { childProcesses, childProcessProvider } from "./child-processes.ts";
export type {
  ChildProcessesOptions,
  ChildProcessProviderOptions,
  ProcessOptions,
} from "./child-processes.ts";
