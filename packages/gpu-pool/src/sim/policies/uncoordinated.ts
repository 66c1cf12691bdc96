// Policies whose devices each have queues of their own: requests are dealt out in turn, and stay where they are.
import { Baseline, Line } from "./baseline.ts";
import type { ModelLine } from "./baseline.ts";

export abstract class Uncoordinated extends Baseline {
  /** By device, in the order they came up. */
  readonly #lines = new Map<string, readonly ModelLine[]>();
  #turn = 0;

  /** What a free device starts: the model's own line there, and how many of it. */
  protected abstract pick(
    lines: readonly ModelLine[],
    device: string,
  ): { readonly model: ModelLine; readonly units: number } | undefined;

  protected override decide(): void {
    this.#deal();
    // A start takes its device out of the list.
    const free = this.free.slice();
    for (const device of free) {
      const picked = this.pick(this.#lines.get(device)!, device);
      if (picked !== undefined) this.start(picked.model, picked.units, device);
    }
  }

  /** New requests, and those of devices that are gone, go round. */
  #deal(): void {
    for (const device of this.free)
      if (!this.#lines.has(device))
        this.#lines.set(
          device,
          this.lines.map(({ model }) => ({ model, line: new Line(), arrived: 0 })),
        );
    const busy = new Set([...this.running.values()].map(({ device }) => device));
    for (const [device, lines] of this.#lines) {
      if (this.free.includes(device) || busy.has(device)) continue;
      this.#lines.delete(device);
      for (const [index, { line }] of lines.entries()) this.lines[index]!.line.putBack(line.take(line.size));
    }
    for (const [index, model] of this.lines.entries()) {
      const { line } = model;
      if (line.size === 0) continue;
      const hosts = this.#hosts(model);
      if (hosts.length === 0) continue;
      for (const waiting of line.take(line.size)) {
        hosts[this.#turn % hosts.length]![index]!.line.add(waiting);
        this.#turn += 1;
      }
    }
  }

  /** The lines of the devices that have a model. */
  #hosts(model: ModelLine): readonly (readonly ModelLine[])[] {
    if (!this.isPlaced) return [...this.#lines.values()];
    return [...this.#lines]
      .filter(([device]) => this.holds(this.places.get(device)!, model))
      .map(([, lines]) => lines);
  }
}
