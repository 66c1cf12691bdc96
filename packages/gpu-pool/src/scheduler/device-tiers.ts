// What devices of each type cost, and how many batches all of them run at a time.

interface Priced {
  readonly kind: string;
  readonly cost: number;
  readonly capacity: number;
}

export class DeviceTiers {
  readonly #tiers = new Map<string, { cost: number; places: number }>();

  add({ kind, cost, capacity }: Priced): void {
    const places = (this.#tiers.get(kind)?.places ?? 0) + capacity;
    this.#tiers.set(kind, { cost, places });
  }

  remove({ kind, capacity }: Priced): void {
    const tier = this.#tiers.get(kind)!;
    tier.places -= capacity;
    if (tier.places === 0) this.#tiers.delete(kind);
  }

  costOf(kind: string): number {
    return this.#tiers.get(kind)?.cost ?? 0;
  }

  placesOf(kind: string): number {
    return this.#tiers.get(kind)?.places ?? 0;
  }
}
