// Keeps the latest tasks only: each may hold megabytes, and the store is this process's memory.
import type { Queue } from "@holdfast/queue";

/** Forgets the oldest ended tasks beyond `limit`. */
export class Retention {
  #ids: string[] = [];

  constructor(
    private readonly queue: Queue,
    private readonly limit: number,
  ) {}

  /** A task has been added. */
  async remember(id: string): Promise<void> {
    this.#ids.push(id);
    const surplus = this.#ids.slice(0, -this.limit);
    if (surplus.length === 0) return;
    // Only ended ones go; there are fewer live ones than the limit, so the others get their turn.
    await this.queue.discard(...surplus);
    this.#ids = this.#ids.slice(surplus.length);
  }
}
