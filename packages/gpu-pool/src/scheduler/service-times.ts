// How long models take, as measured: the basis of early drops and of what refused callers are told.

/** Weight of the newest time in a running mean. */
const SMOOTHING = 0.2;

interface Times {
  fastestMs: number;
  meanMs: number;
}

/** Service times by model, in milliseconds. */
export class ServiceTimes {
  readonly #byModel = new Map<string, Times>();
  #overallMs = 0;

  record(model: string, ms: number): void {
    const times = this.#byModel.get(model);
    this.#overallMs = blend(this.#overallMs, ms);
    if (times === undefined) {
      this.#byModel.set(model, { fastestMs: ms, meanMs: ms });
      return;
    }
    times.fastestMs = Math.min(times.fastestMs, ms);
    times.meanMs = blend(times.meanMs, ms);
  }

  /** The fastest the model has ever run: nothing can be promised that would need less. 0 while it is not known. */
  fastestOf(model: string): number {
    return this.#byModel.get(model)?.fastestMs ?? 0;
  }

  /** The model's running mean; that of all models while it has not run, and 0 while nothing has. */
  meanOf(model: string): number {
    return this.#byModel.get(model)?.meanMs ?? this.#overallMs;
  }
}

function blend(mean: number, ms: number): number {
  return mean === 0 ? ms : mean + SMOOTHING * (ms - mean);
}
