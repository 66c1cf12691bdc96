// What the function of a step is told.
import type { StepContext } from "./step-contract.ts";
import type { StepHost } from "./step-host.ts";

/** A signal of a step's own, if it has one, is made when it is first read. */
export class RunningStep implements StepContext {
  readonly #host: StepHost;
  readonly #own: (() => AbortSignal) | undefined;

  constructor(
    host: StepHost,
    readonly idempotencyKey: string,
    own?: () => AbortSignal,
  ) {
    this.#host = host;
    this.#own = own;
  }

  get signal(): AbortSignal {
    const { signal } = this.#host;
    return this.#own === undefined ? signal : AbortSignal.any([signal, this.#own()]);
  }

  get attempt(): number {
    return this.#host.claimed.attempt;
  }

  get fence(): number {
    return this.#host.claimed.fence;
  }
}
