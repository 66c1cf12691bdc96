// @holdfast/gpu-pool/worker-threads: devices that are threads of this process, and the models they serve.
export type { LoadableModel, ModelContext, ModelFunction, ServedModels } from "./model-function.ts";
export { serveModels } from "./serve-models.ts";
export { workerThreads } from "./worker-threads.ts";
export type { WorkerThreadsOptions } from "./worker-threads.ts";
