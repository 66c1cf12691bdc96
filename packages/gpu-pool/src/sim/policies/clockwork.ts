// Clockwork (Gujarati et al., OSDI 2020), its scheduling of executions: batches of fixed sizes, a queue for each size.
// Its look-ahead (10 ms) and its margin (5 ms) are for a network and for times that are off: there is neither here.
import { Baseline } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

/** Batch sizes that models are compiled for. */
const SIZES = [1, 2, 4, 8, 16] as const;

/** What could be started: so many of a line, without the first few, and how urgent that is. */
interface Strategy {
  readonly model: ModelLine;
  readonly skipped: number;
  readonly units: number;
  readonly by: number;
}

export class Clockwork extends Baseline {
  protected override decide(): void {
    while (this.free.length > 0) {
      let best: Strategy | undefined;
      for (const model of this.lines) {
        this.dropHopeless(model);
        const strategy = this.#strategy(model);
        if (strategy !== undefined && (best === undefined || strategy.by < best.by)) best = strategy;
      }
      if (best === undefined) return;
      this.drop(best.model, best.skipped);
      this.start(best.model, best.units, this.free[0]!);
    }
  }

  /**
   * The largest size that there is demand for: who is too late for a size is in its queue no more, and when a batch is
   * taken out of one queue, the others forget all that came before. A model goes by its most urgent queue.
   */
  #strategy(one: ModelLine): Strategy | undefined {
    const { model, line } = one;
    let best: Strategy | undefined;
    let skipped = 0;
    for (const units of SIZES) {
      const ms = this.timeOf(model, units);
      while (skipped < line.size && line.at(skipped)!.request.deadline < this.now + ms - 1e-9) skipped += 1;
      if (line.size - skipped < units) break;
      const by = Math.min(line.at(skipped)!.request.deadline - ms, best?.by ?? Infinity);
      best = { model: one, skipped, units, by };
    }
    return best;
  }
}
