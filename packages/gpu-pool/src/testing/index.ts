// @holdfast/gpu-pool/testing: the contract of registries of models as tests.
export { modelRegistryConformance } from "./conformance.ts";
export type { ModelRegistrySubject } from "./trial.ts";
