// Nexus (Shen et al., SOSP 2019): batches sized for the worst case of two in a row, heads dropped that would shrink them.
import type { ModelLine } from "./baseline.ts";
import { oldestOf } from "./baseline.ts";
import { Uncoordinated } from "./uncoordinated.ts";

export class Nexus extends Uncoordinated {
  protected override pick(lines: readonly ModelLine[]): { model: ModelLine; units: number } | undefined {
    for (const model of lines) this.#dropEarly(model);
    const model = oldestOf(lines);
    return model === undefined
      ? undefined
      : { model, units: Math.min(model.line.size, this.#planned(model)) };
  }

  /** B: the largest batch of which two in a row meet the objective. */
  #planned({ model }: ModelLine): number {
    return Math.max(1, this.unitsWithin(model, model.sloMs / 2));
  }

  /** Slides over the line until a batch of the planned size, or all that is left, ends in time. */
  #dropEarly(one: ModelLine): void {
    for (let head = one.line.at(0); head !== undefined; head = one.line.at(0)) {
      const units = Math.min(this.#planned(one), one.line.size);
      if (this.now + this.timeOf(one.model, units) <= head.request.deadline + 1e-9) return;
      this.drop(one, 1);
    }
  }
}
