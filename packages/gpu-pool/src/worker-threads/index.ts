// @holdfast/gpu-pool/worker-threads: devices that are threads of this process, and the models they serve.
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
export { workerThreads } from "./worker-threads.ts";
export type { WorkerThreadsOptions } from "./worker-threads.ts";
