// When tasks are to be added by themselves: kept here, fired by whoever asks.
import type { Schedule } from "../store/store.ts";
import { MAX_SCHEDULES } from "../store/store.ts";

export class Schedules {
  readonly #byKey = new Map<string, Schedule>();

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether it is there now. */
  set({ key, text, nextAt }: Schedule): boolean {
    const known = this.#byKey.get(key);
    if (known?.text === text) return true;
    if (known === undefined && this.#byKey.size >= MAX_SCHEDULES) return false;
    this.#byKey.set(key, { key, text, nextAt });
    return true;
  }

  remove(key: string): boolean {
    return this.#byKey.delete(key);
  }

  /** Whether this is what is kept under its key. */
  has({ key, text, nextAt }: Schedule): boolean {
    const known = this.#byKey.get(key);
    return known !== undefined && known.text === text && known.nextAt === nextAt;
  }

  move({ key, text }: Schedule, nextAt: number): void {
    this.#byKey.set(key, { key, text, nextAt });
  }

  /** The one that is next first. */
  all(): Schedule[] {
    return [...this.#byKey.values()].sort((a, b) => a.nextAt - b.nextAt);
  }
}
