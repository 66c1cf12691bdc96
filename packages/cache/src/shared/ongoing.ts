// Answers that are on their way, by key, so that one can be told that it comes too late to be kept.

/** Something under way whose answer would be put into memory. */
export interface Errand {
  readonly id: string;
  /** The key was changed since it set out. */
  isOutdated: boolean;
}

export class Ongoing {
  readonly #byKey = new Map<string, Set<Errand>>();

  begin(id: string): Errand {
    const errand = { id, isOutdated: false };
    const known = this.#byKey.get(id);
    if (known === undefined) this.#byKey.set(id, new Set([errand]));
    else known.add(errand);
    return errand;
  }

  end(errand: Errand): void {
    const known = this.#byKey.get(errand.id);
    known?.delete(errand);
    if (known?.size === 0) this.#byKey.delete(errand.id);
  }

  outdate(id: string): void {
    for (const errand of this.#byKey.get(id) ?? []) errand.isOutdated = true;
  }

  outdateAll(): void {
    for (const errands of this.#byKey.values()) for (const errand of errands) errand.isOutdated = true;
  }
}
