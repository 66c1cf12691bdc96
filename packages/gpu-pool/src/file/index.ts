// @holdfast/gpu-pool/file: a registry of models in a file.
export { checkModelFile } from "./check-model-file.ts";
export { RegistryFileDamagedError } from "./errors.ts";
export { fileModelStore } from "./file-model-store.ts";
export type { FileModelStoreOptions } from "./file-model-store.ts";
