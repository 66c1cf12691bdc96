// The latest events of one task.
import type { TaskEvent, TaskEventBody } from "../task/task-status.ts";

export class EventLog {
  readonly #events: TaskEvent[] = [];
  #lastSeq = 0;

  /** Number of the latest event; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Adds an event, and drops the oldest beyond `keep`. */
  add(at: number, body: TaskEventBody, keep: number): void {
    this.#lastSeq += 1;
    this.#events.push({ ...body, seq: this.#lastSeq, at });
    if (this.#events.length > keep) this.#events.shift();
  }

  /** All that is kept. */
  get all(): readonly TaskEvent[] {
    return this.#events;
  }

  /** Takes what was kept of another one. */
  restore(events: readonly TaskEvent[], lastSeq: number): void {
    this.#events.push(...events);
    this.#lastSeq = lastSeq;
  }

  after(seq: number, max: number): readonly TaskEvent[] {
    const dropped = this.#lastSeq - this.#events.length;
    const from = Math.max(0, seq - dropped);
    return this.#events.slice(from, from + max);
  }
}
