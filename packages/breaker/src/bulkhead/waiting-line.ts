// Those who wait for a slot: by priority, and in the order they came; each can leave at any time, in O(1).

interface Place<T> {
  readonly item: T;
  readonly level: Level<T>;
  before: Place<T> | undefined;
  behind: Place<T> | undefined;
}

/** Those of one priority. */
interface Level<T> {
  readonly priority: number;
  first: Place<T> | undefined;
  last: Place<T> | undefined;
}

/** Leaves the line. Does nothing the second time, or once it has been taken. */
export type Leave = () => void;

export class WaitingLine<T> {
  /** The highest priority first; kept when empty, since the same few come again. */
  readonly #levels: Level<T>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  join(item: T, priority: number): Leave {
    const level = this.#level(priority);
    const place: Place<T> = { item, level, before: level.last, behind: undefined };
    if (level.last === undefined) level.first = place;
    else level.last.behind = place;
    level.last = place;
    this.#size += 1;
    let isIn = true;
    return () => {
      // One that was taken from the front is its level's first no more, and nobody's neighbour.
      if (isIn && this.#isIn(place)) this.#remove(place);
      isIn = false;
    };
  }

  /** Takes the next one out of the line. */
  take(): T | undefined {
    for (const { first } of this.#levels) {
      if (first === undefined) continue;
      this.#remove(first);
      return first.item;
    }
    return undefined;
  }

  #isIn(place: Place<T>): boolean {
    return place.level.first === place || place.before !== undefined;
  }

  #remove(place: Place<T>): void {
    const { level, before, behind } = place;
    if (before === undefined) level.first = behind;
    else before.behind = behind;
    if (behind === undefined) level.last = before;
    else behind.before = before;
    place.before = place.behind = undefined;
    this.#size -= 1;
  }

  #level(priority: number): Level<T> {
    const at = this.#levels.findIndex((level) => level.priority <= priority);
    const found = this.#levels[at];
    if (found?.priority === priority) return found;
    const level = { priority, first: undefined, last: undefined };
    this.#levels.splice(at === -1 ? this.#levels.length : at, 0, level);
    return level;
  }
}
