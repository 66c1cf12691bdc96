// Errors across the boundary of a thread: name, message, code and stack are kept.
import { asError } from "@holdfast/core";
import { ModelFailedError } from "../errors.ts";
import type { WireError } from "./protocol.ts";

export function toWire(thrown: unknown): WireError {
  const error = asError(thrown);
  const { code } = error as { readonly code?: unknown };
  return {
    name: String(error.name),
    message: String(error.message),
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof error.stack === "string" ? { stack: error.stack } : {}),
  };
}

/** What a model threw, for its caller. */
export function fromWire(model: string, wire: WireError): ModelFailedError {
  const cause = Object.assign(new Error(wire.message), wire);
  return new ModelFailedError(model, wire.code ?? wire.name, wire.message, { cause });
}
