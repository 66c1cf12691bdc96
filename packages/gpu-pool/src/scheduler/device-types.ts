// What there is of each type of device: how many, what they cost, and how many batches all of them run at a time.

interface Typed {
  readonly kind: string;
  readonly cost: number;
  readonly capacity: number;
}

export class DeviceTypes {
  readonly #types = new Map<string, { cost: number; devices: number; places: number }>();

  /** Types of which there is a device. */
  get size(): number {
    return this.#types.size;
  }

  /** The type of most devices; `undefined` while there are none. */
  get commonest(): string | undefined {
    let found: string | undefined;
    let most = 0;
    for (const [kind, { devices }] of this.#types) {
      if (devices <= most) continue;
      most = devices;
      found = kind;
    }
    return found;
  }

  add({ kind, cost, capacity }: Typed): void {
    const { devices, places } = this.#types.get(kind) ?? { devices: 0, places: 0 };
    this.#types.set(kind, { cost, devices: devices + 1, places: places + capacity });
  }

  remove({ kind, capacity }: Typed): void {
    const type = this.#types.get(kind)!;
    type.devices -= 1;
    type.places -= capacity;
    if (type.devices === 0) this.#types.delete(kind);
  }

  costOf(kind: string): number {
    return this.#types.get(kind)?.cost ?? 0;
  }

  placesOf(kind: string): number {
    return this.#types.get(kind)?.places ?? 0;
  }
}
