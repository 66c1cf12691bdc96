// The plain rule: a free device takes the earliest deadline and the largest batch that meets it, at once.
import { Baseline, mostUrgentOf } from "./baseline.ts";

export class Eager extends Baseline {
  protected override decide(): void {
    while (this.free.length > 0) {
      for (const model of this.lines) this.dropHopeless(model);
      const next = mostUrgentOf(this.startable());
      if (next === undefined) return;
      const slack = next.line.at(0)!.request.deadline - this.now;
      this.start(next, Math.min(next.line.size, this.unitsWithin(next.model, slack)), this.freeFor(next)!);
    }
  }
}
