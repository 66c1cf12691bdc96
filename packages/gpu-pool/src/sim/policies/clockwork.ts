// Clockwork (Gujarati et al., OSDI 2020), its scheduling of executions: strategies of fixed sizes, planned ahead.
import { Baseline } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

/** Batch sizes that models are compiled for. */
const SIZES = [16, 8, 4, 2, 1] as const;

export class Clockwork extends Baseline {
  protected override decide(): void {
    while (this.free.length > 0) {
      let best: { model: ModelLine; units: number; by: number } | undefined;
      for (const model of this.lines) {
        this.dropHopeless(model);
        const strategy = this.#strategy(model);
        if (strategy !== undefined && (best === undefined || strategy.by < best.by)) best = strategy;
      }
      if (best === undefined) return;
      this.start(best.model, best.units, this.free[0]!);
    }
  }

  /** The largest size that there are requests for and that ends in time; it goes by its latest start. */
  #strategy(one: ModelLine): { model: ModelLine; units: number; by: number } | undefined {
    const head = one.line.at(0);
    if (head === undefined) return undefined;
    for (const units of SIZES) {
      const by = head.request.deadline - this.timeOf(one.model, units);
      if (units <= one.line.size && by >= this.now - 1e-9) return { model: one, units, by };
    }
    return undefined;
  }
}
