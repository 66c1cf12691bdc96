// Clipper (Crankshaw et al., NSDI 2017): each device's batch size is found by additive increase, multiplicative decrease.
import type { ModelLine, Running } from "./baseline.ts";
import { oldestOf } from "./baseline.ts";
import { Uncoordinated } from "./uncoordinated.ts";

/** Grows by this when a full batch took no longer than it should. */
const STEP = 1;

/** And shrinks to this share when one took longer. */
const BACKOFF = 0.9;

export class Clipper extends Uncoordinated {
  readonly #caps = new Map<string, number>();

  protected override ended({ device, startedAt, model, taken }: Running): void {
    const key = `${device} ${model.model.key}`;
    const cap = this.#caps.get(key) ?? 1;
    if (this.now - startedAt > model.model.sloMs) this.#caps.set(key, Math.max(1, cap * BACKOFF));
    // Only a batch that reached its cap says whether a larger one would do.
    else if (taken.length >= Math.floor(cap)) this.#caps.set(key, cap + STEP);
  }

  protected override pick(
    lines: readonly ModelLine[],
    device: string,
  ): { model: ModelLine; units: number } | undefined {
    for (const model of lines) this.dropHopeless(model);
    const model = oldestOf(lines);
    if (model === undefined) return undefined;
    const cap = Math.floor(this.#caps.get(`${device} ${model.model.key}`) ?? 1);
    return { model, units: Math.min(model.line.size, cap) };
  }
}
