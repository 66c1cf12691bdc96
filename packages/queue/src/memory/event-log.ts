// The latest events of one task.
import type { TaskEvent, TaskEventBody } from "../task/task-status.ts";

/** What has happened, and when. Tasks to which the same has happened at the same time share one. */
export interface Moment {
  readonly at: number;
  readonly body: TaskEventBody;
}

export class EventLog {
  readonly #moments: Moment[] = [];
  #lastSeq = 0;

  /** Number of the latest event; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Adds an event, and drops the oldest beyond `keep`. */
  add(moment: Moment, keep: number): void {
    this.#lastSeq += 1;
    this.#moments.push(moment);
    if (this.#moments.length > keep) this.#moments.shift();
  }

  /** All that is kept. */
  get all(): readonly TaskEvent[] {
    return this.after(0, Infinity);
  }

  /** Takes what was kept of another one. */
  restore(events: readonly TaskEvent[], lastSeq: number): void {
    for (const { seq: _, at, ...body } of events) this.#moments.push({ at, body });
    this.#lastSeq = lastSeq;
  }

  after(seq: number, max: number): readonly TaskEvent[] {
    const dropped = this.#lastSeq - this.#moments.length;
    const from = Math.max(0, seq - dropped);
    return this.#moments
      .slice(from, from + max)
      .map(({ at, body }, index) => ({ ...body, seq: dropped + from + index + 1, at }));
  }
}
