// What a store of servers keeps of each queue in this process, by the queue's name.

/** Lines of which nobody needs to be remembered, kept for whoever asks again. */
export const MAX_LINES = 1_000;
/** Lines looked at for one that can go, each time one is made. */
const LOOKS = 10;

/** Of what is not idle nothing is let go; what is idle is made anew, at little cost, when it is asked for again. */
export interface Line {
  /** Whether nothing is on its way and nobody has ever waited. */
  readonly isIdle: boolean;
  close(): void;
}

/** Bounded, however many names there are: beyond {@link MAX_LINES} the oldest idle ones go. */
export class Lines<T extends Line> {
  readonly #byQueue = new Map<string, T>();

  constructor(private readonly make: (queue: string) => T) {}

  get size(): number {
    return this.#byQueue.size;
  }

  of(queue: string): T {
    let line = this.#byQueue.get(queue);
    if (line !== undefined) return line;
    this.#makeRoom();
    line = this.make(queue);
    this.#byQueue.set(queue, line);
    return line;
  }

  close(): void {
    for (const line of this.#byQueue.values()) line.close();
    this.#byQueue.clear();
  }

  /** What cannot go is looked at again when all others have been. */
  #makeRoom(): void {
    for (let looks = 0; looks < LOOKS && this.#byQueue.size >= MAX_LINES; looks += 1) {
      const [queue, line] = this.#byQueue.entries().next().value!;
      this.#byQueue.delete(queue);
      if (!line.isIdle) this.#byQueue.set(queue, line);
    }
  }
}
