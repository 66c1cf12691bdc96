// The refusal of a breaker as an error, made without walking the stack: it is thrown when things are bad already.
import { formatDuration, HoldfastError } from "@holdfast/core";
import { withoutStack } from "../refusals/without-stack.ts";
import type { CircuitState } from "./contract.ts";

/** A circuit breaker does not let the call through; the task was not started. `code: "CIRCUIT_OPEN"`. */
export class CircuitOpenError extends HoldfastError {
  override readonly code = "CIRCUIT_OPEN";
  override readonly status = 503;

  /** @param retryAfterMs - When it can let calls through again, where that is known. */
  constructor(
    /** Name of the breaker. */
    readonly breaker: string,
    /** `open`, `half-open` when all probes are out, `closed` while the load ramps up, `isolated`. */
    readonly state: CircuitState,
    retryAfterMs: number | undefined,
  ) {
    const again =
      retryAfterMs === undefined ? "" : `; try again in ${formatDuration(Math.ceil(retryAfterMs))}`;
    super(`${breaker} is ${state === "closed" ? "ramping up" : state}${again}`, { retryAfterMs });
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { breaker: this.breaker, state: this.state };
  }
}

/** A {@link CircuitOpenError} without a stack, which would cost more than the whole refusal. */
export function circuitOpen(
  breaker: string,
  state: CircuitState,
  retryAfterMs: number | undefined,
): CircuitOpenError {
  return withoutStack(() => new CircuitOpenError(breaker, state, retryAfterMs));
}
