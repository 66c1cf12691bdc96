// What can be wrong with the file of a registry.
import { HoldfastError } from "@holdfast/core";

/** The file is no registry of models, or not all of one; nothing of it was changed. `code: "REGISTRY_FILE_DAMAGED"`. */
export class RegistryFileDamagedError extends HoldfastError {
  override readonly code = "REGISTRY_FILE_DAMAGED";

  constructor(
    readonly path: string,
    options?: ErrorOptions,
  ) {
    super(`${path} is damaged, or is no registry of models: put a copy in its place`, options);
  }

  protected override problemDetail(): string {
    return "the file of the registry of models is damaged";
  }
}
