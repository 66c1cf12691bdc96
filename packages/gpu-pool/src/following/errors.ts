// What can be wrong with a version that an alias is to mean.
import { HoldfastError } from "@holdfast/core";

/** A model has answered its warm-up, but not as it was to. `code: "WARM_UP_ANSWER"`. */
export class WarmUpAnswerError extends HoldfastError {
  override readonly code = "WARM_UP_ANSWER";
  override readonly status = 500;

  constructor(readonly model: string) {
    super(`${model} gave another answer to its warm-up than was registered`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model };
  }
}
