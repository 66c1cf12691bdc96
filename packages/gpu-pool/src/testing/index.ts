// @holdfast/gpu-pool/testing: the contracts of registries of models and of workers as tests.
export { modelRegistryConformance } from "./conformance.ts";
export type { ModelRegistrySubject } from "./trial.ts";
export { workerConformance } from "./worker-conformance.ts";
export type { SpecialInput, WorkerSubject } from "./worker-trial.ts";
