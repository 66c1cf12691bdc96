// Whose turn it is: self-clocked fair queueing (Golestani, INFOCOM 1994). Each place is tagged with the virtual time at
// which its tenant would have been served so much at its share; the lowest tag goes first.

export interface Place<T> {
  readonly item: T;
  readonly tenant: string;
  readonly tag: number;
  readonly order: number;
  /** Where it is in the heap; -1 when it has left. */
  index: number;
}

interface Tenant {
  /** Tag of its last place. */
  lastTag: number;
  waiting: number;
}

export class FairLine<T> {
  readonly #heap: Place<T>[] = [];
  /** Only those that wait: whoever does not has a tag that is over. */
  readonly #tenants = new Map<string, Tenant>();
  /** Tag of the place that was served last. */
  #virtualTime = 0;
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  get first(): Place<T> | undefined {
    return this.#heap[0];
  }

  join(item: T, tenant: string, effort: number): Place<T> {
    const known = this.#tenants.get(tenant) ?? { lastTag: 0, waiting: 0 };
    known.lastTag = Math.max(this.#virtualTime, known.lastTag) + effort;
    known.waiting += 1;
    this.#tenants.set(tenant, known);
    this.#order += 1;
    const place = { item, tenant, tag: known.lastTag, order: this.#order, index: this.#heap.length };
    this.#heap.push(place);
    this.#rise(place);
    return place;
  }

  /** Served: the virtual time is its tag. */
  serve(place: Place<T>): void {
    this.#virtualTime = Math.max(this.#virtualTime, place.tag);
    this.leave(place);
  }

  /** Does nothing the second time. */
  leave(place: Place<T>): void {
    const { index } = place;
    if (index === -1) return;
    place.index = -1;
    const last = this.#heap.pop()!;
    if (last !== place) {
      this.#put(last, index);
      this.#rise(last);
      this.#sink(last);
    }
    const tenant = this.#tenants.get(place.tenant)!;
    tenant.waiting -= 1;
    if (tenant.waiting === 0) this.#tenants.delete(place.tenant);
  }

  #rise(place: Place<T>): void {
    while (place.index > 0) {
      const parent = this.#heap[(place.index - 1) >> 1]!;
      if (!isBefore(place, parent)) return;
      this.#swap(place, parent);
    }
  }

  #sink(place: Place<T>): void {
    for (;;) {
      const left = this.#heap[2 * place.index + 1];
      const right = this.#heap[2 * place.index + 2];
      const child = right !== undefined && isBefore(right, left!) ? right : left;
      if (child === undefined || !isBefore(child, place)) return;
      this.#swap(child, place);
    }
  }

  #swap(a: Place<T>, b: Place<T>): void {
    const { index } = a;
    this.#put(a, b.index);
    this.#put(b, index);
  }

  #put(place: Place<T>, index: number): void {
    this.#heap[index] = place;
    place.index = index;
  }
}

function isBefore<T>(a: Place<T>, b: Place<T>): boolean {
  return a.tag === b.tag ? a.order < b.order : a.tag < b.tag;
}
