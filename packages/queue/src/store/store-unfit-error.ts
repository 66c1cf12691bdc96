// A server that would lose tasks.
import { HoldfastError } from "@holdfast/core";

/** The server is set up so that it could lose or refuse tasks. `code: "STORE_UNFIT"`. */
export class StoreUnfitError extends HoldfastError {
  override readonly code = "STORE_UNFIT";
  override readonly status = 503;

  constructor(
    readonly store: string,
    /** One sentence for each thing that is wrong. */
    readonly reasons: readonly string[],
  ) {
    super(`${store} is not fit for tasks: ${reasons.join(" ")}`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { reasons: this.reasons };
  }
}
