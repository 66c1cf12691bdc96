// SHEPHERD's Flex (Zhang et al., NSDI 2023): the largest feasible batch at once; one much larger preempts what runs.
import { Baseline } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

/** λ: how many times larger a batch must be to preempt another. */
const PREEMPTS_AT = 3.03;

export class Shepherd extends Baseline {
  protected override decide(): void {
    for (;;) {
      const next = this.#largest();
      if (next === undefined) return;
      if (this.free.length === 0 && !this.#makeRoom(next.units)) return;
      this.start(next.model, next.units, this.free[0]!);
    }
  }

  #largest(): { model: ModelLine; units: number } | undefined {
    let best: { model: ModelLine; units: number } | undefined;
    for (const model of this.lines) {
      this.dropHopeless(model);
      const head = model.line.at(0);
      if (head === undefined) continue;
      const feasible = this.unitsWithin(model.model, head.request.deadline - this.now);
      const units = Math.min(feasible, model.line.size);
      if (best === undefined || units > best.units) best = { model, units };
    }
    return best;
  }

  #makeRoom(units: number): boolean {
    let smallest: { id: number; units: number } | undefined;
    for (const [id, { taken, startedAt }] of this.running)
      if (startedAt < this.now && (smallest === undefined || taken.length < smallest.units))
        smallest = { id, units: taken.length };
    if (smallest === undefined || units < PREEMPTS_AT * smallest.units) return false;
    this.preempt(smallest.id);
    return true;
  }
}
