// Clockwork (Gujarati et al., OSDI 2020): batches of fixed sizes, a queue for each size; models are loaded where demand
// for them exceeds what the devices that have them can do, and the least recently used makes room.
// Its look-ahead (10 ms) and its margin (5 ms) are for a network and for times that are off: there is neither here.
import { Baseline } from "./baseline.ts";
import type { ModelLine, Place } from "./baseline.ts";

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
  protected override get loads(): boolean {
    return true;
  }

  protected override decide(): void {
    this.#execute();
    if (this.isPlaced) this.#load();
  }

  #execute(): void {
    while (this.free.length > 0) {
      let best: Strategy | undefined;
      for (const model of this.lines) this.dropHopeless(model);
      for (const model of this.startable()) {
        const strategy = this.#strategy(model);
        if (strategy !== undefined && (best === undefined || strategy.by < best.by)) best = strategy;
      }
      if (best === undefined) return;
      this.drop(best.model, best.skipped);
      this.start(best.model, best.units, this.freeFor(best.model)!);
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

  /** Each device loads one model at a time: the one with the most unmet demand that it does not have. */
  #load(): void {
    for (const place of this.places.values()) {
      if (place.loading !== undefined) continue;
      const unmet = this.#unmet();
      const [model] = this.lines
        .filter((one) => (unmet.get(one) ?? 0) > 0 && !this.holds(place, one))
        .sort((a, b) => unmet.get(b)! - unmet.get(a)!);
      if (model !== undefined && this.#makeRoom(place, model)) this.load(place, model);
    }
  }

  /**
   * Milliseconds of work that wait for each model, less what the devices that have it can do of it within its objective.
   * A model's work is shared out evenly among its devices; one with more than it can do serves all alike.
   */
  #unmet(): ReadonlyMap<ModelLine, number> {
    const waiting = this.lines.filter(({ line }) => line.size > 0);
    const hosts = new Map<ModelLine, readonly Place[]>();
    const load = new Map<Place, number>();
    for (const model of waiting) {
      const those = [...this.places.values()].filter(
        (place) => place.loading === model || this.holds(place, model),
      );
      hosts.set(model, those);
      for (const place of those) load.set(place, (load.get(place) ?? 0) + this.#demand(model) / those.length);
    }
    return new Map(
      waiting.map((model) => {
        const those = hosts.get(model)!;
        const met = those.map((place) => Math.min(1, model.model.sloMs / load.get(place)!));
        const share = met.reduce((sum, one) => sum + one, 0) / Math.max(1, those.length);
        return [model, this.#demand(model) * (1 - share)];
      }),
    );
  }

  #demand({ model, line }: ModelLine): number {
    return this.timeOf(model, line.size);
  }

  /** Unloads what was used least recently, and does not run, until a model fits. */
  #makeRoom(place: Place, { model }: ModelLine): boolean {
    const running = [...this.running.values()].find(({ device }) => device === place.device.id);
    const idle = [...place.usedAt!]
      .filter(([key]) => key !== running?.model.model.key)
      .sort(([, a], [, b]) => a - b)
      .map(([key]) => key);
    let missing = this.#heldBytes(place) + (model.memoryBytes ?? 0) - (place.device.memoryBytes ?? Infinity);
    const leaving: string[] = [];
    while (missing > 0 && idle.length > 0) {
      const key = idle.shift()!;
      leaving.push(key);
      missing -= this.modelOf(key).model.memoryBytes ?? 0;
    }
    if (missing > 0) return false;
    for (const key of leaving) this.unload(place, key);
    return true;
  }

  #heldBytes({ usedAt }: Place): number {
    return [...usedAt!.keys()].reduce((sum, key) => sum + (this.modelOf(key).model.memoryBytes ?? 0), 0);
  }
}
