// The request that a device has to answer before it is trusted again.
import type { Clock, Timer } from "@holdfast/core";
import { asError, TimeoutError } from "@holdfast/core";
import { WorkerFailedError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import type { Worker } from "../worker.ts";

/** A request with a known good answer. */
export interface Canary {
  readonly model: ModelRef;
  readonly input: unknown;
  /** Whether the answer is good. */
  readonly accepts: (output: unknown) => boolean;
  readonly timeoutMs: number;
}

/** Never the ID of a request. */
const CANARY_ID = -1;

/** Sends a canary through a worker, and takes its answers out of what the worker tells. */
export class CanaryRun {
  #settle:
    { readonly resolve: (output: unknown) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly device: string,
  ) {}

  /** Whether an answer was the canary's. */
  succeeded(itemId: number, output: unknown): boolean {
    if (itemId !== CANARY_ID) return false;
    this.#settle?.resolve(output);
    return true;
  }

  failed(itemId: number, error: Error): boolean {
    if (itemId !== CANARY_ID) return false;
    this.#settle?.reject(error);
    return true;
  }

  /** Rejects when the answer is wrong, late or an error, or with the signal's reason. */
  async run({ model, input, accepts, timeoutMs }: Canary, worker: Worker, life: AbortSignal): Promise<void> {
    let timer: Timer | undefined;
    let onEnd = (): void => {};
    try {
      const output = await new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
        onEnd = () => reject(asError(life.reason));
        life.addEventListener("abort", onEnd, { once: true });
        timer = this.clock.setTimer(timeoutMs, () =>
          reject(new TimeoutError(`canary of ${this.device}`, timeoutMs)),
        );
        worker.run({ id: CANARY_ID, model, items: [{ id: CANARY_ID, input }] });
      });
      if (!accepts(output)) throw new WorkerFailedError(this.device, "gave a wrong answer to its canary");
    } finally {
      this.#settle = undefined;
      timer?.cancel();
      life.removeEventListener("abort", onEnd);
    }
  }
}
