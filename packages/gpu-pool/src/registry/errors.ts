// What can go wrong in a registry of models, one class per condition a caller handles differently.
import { HoldfastError } from "@holdfast/core";
import type { ModelState } from "./contract.ts";

/** Another model has that name and version: versions do not change. `code: "MODEL_CONFLICT"`. */
export class ModelConflictError extends HoldfastError {
  override readonly code = "MODEL_CONFLICT";
  override readonly status = 409;

  constructor(readonly model: string) {
    super(`${model} is registered with other content: a version does not change, register another`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model };
  }
}

/** Aliases mean the model, so it stays. `code: "MODEL_IN_USE"`. */
export class ModelInUseError extends HoldfastError {
  override readonly code = "MODEL_IN_USE";
  override readonly status = 409;

  constructor(
    readonly model: string,
    readonly aliases: readonly string[],
  ) {
    super(`${model} is what ${aliases.join(", ")} means: move that first`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model, aliases: this.aliases };
  }
}

/** The version is on its way out, so no alias may mean it. `code: "MODEL_NOT_AVAILABLE"`. */
export class ModelNotAvailableError extends HoldfastError {
  override readonly code = "MODEL_NOT_AVAILABLE";
  override readonly status = 409;

  constructor(
    readonly model: string,
    readonly state: ModelState,
  ) {
    super(`${model} is ${state}: an alias means what is available`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model, state: this.state };
  }
}

/** A version would have the name of an alias, or an alias that of a version. `code: "ALIAS_TAKEN"`. */
export class AliasTakenError extends HoldfastError {
  override readonly code = "ALIAS_TAKEN";
  override readonly status = 409;

  constructor(
    /** What both would be called. */
    readonly taken: string,
  ) {
    super(`${taken} cannot be both a version and an alias`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { taken: this.taken };
  }
}

/** There are as many as may be. `code: "REGISTRY_FULL"`. */
export class RegistryFullError extends HoldfastError {
  override readonly code = "REGISTRY_FULL";
  override readonly status = 507;

  constructor(
    /** Of what. */
    readonly what: "models" | "aliases" | "device types",
    readonly limit: number,
  ) {
    super(`the registry has ${limit} ${what}, as many as it may`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { what: this.what, limit: this.limit };
  }
}

/** What was found at a model's source is not what was registered. `code: "MODEL_DIGEST_MISMATCH"`. */
export class ModelDigestError extends HoldfastError {
  override readonly code = "MODEL_DIGEST_MISMATCH";
  override readonly status = 500;

  constructor(
    readonly model: string,
    readonly expected: string,
    readonly found: string,
  ) {
    super(`the file of ${model} has SHA-256 ${found}, not ${expected}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model, expected: this.expected, found: this.found };
  }
}
