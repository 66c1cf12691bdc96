// Sagas as a handler sees them: steps that are undone, in reverse, when the whole cannot be done.
import type { Duration } from "@holdfast/core";
import type { StepContext, StepOptions } from "./step-contract.ts";

export interface SagaOptions {
  /**
   * From when the saga is first reached: one that has neither ended nor passed its pivot by then is compensated. The
   * time is recorded, and survives restarts. @defaultValue none
   */
  readonly deadline?: Duration;
  /**
   * An event that asks for compensation: heard before each step of the saga and at once in its waits, and not after
   * the pivot. @defaultValue none
   */
  readonly cancelOn?: string;
  /** How often each compensation may begin before the task is parked. From 1 to 1,000. @defaultValue 10 */
  readonly compensationTries?: number;
}

/** What a compensation is told. */
export interface CompensationContext extends Omit<StepContext, "attempt"> {
  /** Why it is compensated: the code of an error. */
  readonly reason: string;
  /** Which try of this compensation this is, from 1; counted anew when the task is redriven. */
  readonly attempt: number;
}

export interface SagaStepOptions<Result, Output> extends StepOptions<Result, Output> {
  /**
   * Undoes the step. It is registered in the store before the step runs, so it also runs for a step of which nobody knows
   * whether it was done: then `outcome` is `undefined`. May run more than once, as steps do: make it idempotent, by its
   * `idempotencyKey` or by asking first what there is to undo. Steps cannot be used in it.
   */
  readonly compensate?: (outcome: Output | undefined, context: CompensationContext) => unknown;
  /** Once this step is done there is no way back: the rest is only tried again, and nothing is undone. */
  readonly pivot?: boolean;
}

/** The steps of a saga. */
export interface Saga {
  /**
   * A step, as `step.run` is, that can be undone.
   *
   * @throws as `step.run` does; SagaDeadlineError, SagaCancelledError.
   */
  run<Result, Output = Result>(
    name: string,
    fn: (context: StepContext) => Result | PromiseLike<Result>,
    options?: SagaStepOptions<Result, Output>,
  ): Promise<Output>;
}

/** The defaults of `step.saga`. */
export const SAGA_DEFAULTS: { readonly compensationTries: number } = { compensationTries: 10 };
