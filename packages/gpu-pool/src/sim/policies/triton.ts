// Triton's dynamic batcher: a free instance takes the largest batch, or waits for one up to a fixed delay. No deadlines.
import type { SimulatedModel } from "../model.ts";
import { Baseline, oldestOf } from "./baseline.ts";

export interface TritonOptions {
  /** Most requests in a batch. @defaultValue 16 */
  readonly maxBatch?: number;
  /** `max_queue_delay`, in milliseconds. @defaultValue 2 */
  readonly maxDelayMs?: number;
}

export class Triton extends Baseline {
  readonly #maxBatch: number;
  readonly #maxDelayMs: number;

  constructor(models: readonly SimulatedModel[], options: TritonOptions = {}) {
    super(models);
    this.#maxBatch = options.maxBatch ?? 16;
    this.#maxDelayMs = options.maxDelayMs ?? 2;
  }

  protected override decide(): void {
    for (;;) {
      const lines = this.startable();
      const next = oldestOf(lines);
      if (next === undefined) return;
      const full = lines.find(({ line }) => line.size >= this.#maxBatch);
      const dueAt = next.line.at(0)!.arrivedAt + this.#maxDelayMs;
      if (full === undefined && dueAt > this.now) {
        this.nextWake = dueAt;
        return;
      }
      const chosen = dueAt <= this.now ? next : full!;
      this.start(chosen, Math.min(chosen.line.size, this.#maxBatch), this.freeFor(chosen)!);
    }
  }
}
