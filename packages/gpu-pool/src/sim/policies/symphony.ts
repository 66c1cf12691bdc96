// Symphony (Chen et al., 2023): deferred batch scheduling. A batch starts when it could not wait for one request more.
import { Baseline } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

interface Candidate {
  readonly model: ModelLine;
  readonly units: number;
  /** When it becomes schedulable, and when it must have started. */
  readonly from: number;
  readonly until: number;
}

export class Symphony extends Baseline {
  protected override decide(): void {
    for (;;) {
      let best: Candidate | undefined;
      let wake = Infinity;
      for (const model of this.startable()) {
        const candidate = this.#candidate(model);
        if (candidate === undefined) continue;
        if (candidate.from > this.now) wake = Math.min(wake, candidate.from);
        else if (best === undefined || candidate.until < best.until) best = candidate;
      }
      if (best === undefined) {
        this.nextWake = wake;
        return;
      }
      this.start(best.model, best.units, this.freeFor(best.model)!);
    }
  }

  #candidate(one: ModelLine): Candidate | undefined {
    const { model, line } = one;
    const target = this.#target(one);
    for (let head = line.at(0); head !== undefined; head = line.at(0)) {
      const { deadline } = head.request;
      const feasible = this.unitsWithin(model, deadline - this.now);
      if (feasible < Math.min(line.size, target) || feasible < 1) {
        this.drop(one, 1);
        continue;
      }
      const units = Math.min(line.size, feasible);
      const until = deadline - this.timeOf(model, units);
      // For free it grows as long as its head may wait.
      const from = deadline - this.timeOf(model, units + 1);
      return { model: one, units, from: units < feasible ? from : this.now, until };
    }
    return undefined;
  }

  /** b*: the largest batch with which all devices that the model needs take turns within the objective. */
  #target(one: ModelLine): number {
    const { model } = one;
    const rate = Math.max(this.rateOf(one), 1e-9);
    let target = 1;
    for (let units = 1; this.timeOf(model, units) <= model.sloMs; units += 1) {
      const ms = this.timeOf(model, units);
      const devices = (rate * ms) / units;
      if (devices >= 1 ? ms * (1 + 1 / devices) <= model.sloMs : ms + units / rate <= model.sloMs)
        target = units;
    }
    return target;
  }
}
