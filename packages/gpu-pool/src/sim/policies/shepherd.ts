// SHEPHERD's Flex (Zhang et al., NSDI 2023): the largest feasible batch at once; one much larger preempts what runs.
import { Baseline } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

/** λ: how many times larger a batch must be to preempt another. */
const PREEMPTS_AT = 3.03;

interface Candidate {
  readonly model: ModelLine;
  readonly units: number;
  /** A device that is free, or one whose batch is to be preempted. */
  readonly device?: string | undefined;
  readonly victim?: number | undefined;
}

export class Shepherd extends Baseline {
  protected override decide(): void {
    for (;;) {
      const next = this.#largest();
      if (next === undefined) return;
      const { model, units, victim } = next;
      if (victim !== undefined) this.preempt(victim);
      this.start(model, units, next.device ?? this.freeFor(model)!);
    }
  }

  /** The largest that finds a device, or takes one from a much smaller. */
  #largest(): Candidate | undefined {
    let best: Candidate | undefined;
    for (const model of this.lines) {
      this.dropHopeless(model);
      const head = model.line.at(0);
      if (head === undefined) continue;
      const feasible = this.unitsWithin(model.model, head.request.deadline - this.now);
      const units = Math.min(feasible, model.line.size);
      if (best !== undefined && units <= best.units) continue;
      const device = this.freeFor(model);
      const victim = device === undefined ? this.#victim(model, units) : undefined;
      if (device !== undefined || victim !== undefined) best = { model, units, device, victim };
    }
    return best;
  }

  #victim(model: ModelLine, units: number): number | undefined {
    let victim: number | undefined;
    let fewest = units / PREEMPTS_AT;
    for (const [id, { taken, startedAt, device }] of this.running) {
      if (startedAt >= this.now || taken.length > fewest || !this.holds(this.places.get(device)!, model))
        continue;
      // Of those alike the first.
      if (victim !== undefined && taken.length === fewest) continue;
      victim = id;
      fewest = taken.length;
    }
    return victim;
  }
}
