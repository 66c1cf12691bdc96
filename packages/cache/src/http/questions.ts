// Questions to the origin, asked through the store: one at a time for each key.
import type { HttpCacheStore } from "./contract.ts";
import type { Fill } from "./fill.ts";
import type { StoredResponse } from "./stored-response.ts";

/**
 * The store asks by its loader, so that what was asked before an invalidation is not kept after it. The loader knows no
 * request: whoever has one makes a question ready for the key, and the loader takes it.
 */
export class Questions {
  /** What the store may ask, by key. */
  readonly #ready = new Map<string, readonly Fill[]>();
  /** What is being asked. */
  readonly #flights = new Map<string, Fill>();

  /** The store's loader; nothing where nobody has a question. */
  async load(key: string, signal: AbortSignal): Promise<StoredResponse | undefined> {
    const fill = this.#ready.get(key)?.[0];
    if (fill === undefined) return undefined;
    this.#unready(key, fill);
    this.#flights.set(key, fill);
    return fill.run(signal);
  }

  /** What the store has; it may ask this question if it has nothing. */
  get(store: HttpCacheStore, key: string, fill: Fill): Promise<StoredResponse | undefined> {
    return this.#endWith(
      this.#make(key, fill, () => store.get(key)),
      key,
      fill,
    );
  }

  /** Has the store ask, whatever it has. */
  ask(store: HttpCacheStore, key: string, fill: Fill): void {
    // At once, so that nobody else does.
    this.#flights.set(key, fill);
    this.#endWith(
      this.#make(key, fill, () => store.refresh(key)),
      key,
      fill,
    ).catch(() => {});
  }

  /** The question under way. */
  of(key: string): Fill | undefined {
    return this.#flights.get(key);
  }

  /** The question under way for what is not there yet: reading it now would wait for all of its answer. */
  firstOf(key: string): Fill | undefined {
    const flight = this.#flights.get(key);
    return flight?.kept === undefined ? flight : undefined;
  }

  /** It is not to be asked any more, unless it is being asked. */
  withdraw(key: string, fill: Fill): void {
    this.#unready(key, fill);
  }

  #make(
    key: string,
    fill: Fill,
    read: () => Promise<StoredResponse | undefined>,
  ): Promise<StoredResponse | undefined> {
    this.#ready.set(key, [...(this.#ready.get(key) ?? []), fill]);
    return read();
  }

  #endWith(
    asking: Promise<StoredResponse | undefined>,
    key: string,
    fill: Fill,
  ): Promise<StoredResponse | undefined> {
    const end = (): void => {
      this.#unready(key, fill);
      if (this.#flights.get(key) === fill) this.#flights.delete(key);
      fill.end();
    };
    asking.then(end, end);
    return asking;
  }

  #unready(key: string, fill: Fill): void {
    const left = this.#ready.get(key)?.filter((other) => other !== fill) ?? [];
    if (left.length === 0) this.#ready.delete(key);
    else this.#ready.set(key, left);
  }
}
