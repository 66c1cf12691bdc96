// The latest events of one task.
import type { TaskEvent, TaskEventBody } from "../task/task-status.ts";

/** What has happened, and when. Tasks to which the same has happened at the same time share one. */
export interface Moment {
  readonly at: number;
  readonly body: TaskEventBody;
}

export class EventLog {
  /** With room for what happens to a task that goes well: an array that grows by itself gets room for 17 at once. */
  readonly #moments: (Moment | undefined)[] = [undefined, undefined, undefined];
  #size = 0;
  #lastSeq = 0;

  /** Number of the latest event; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Adds an event, and drops the oldest beyond `keep`. */
  add(moment: Moment, keep: number): void {
    this.#lastSeq += 1;
    this.#append(moment);
    if (this.#size <= keep) return;
    this.#moments.shift();
    this.#size -= 1;
  }

  /** All that is kept. */
  get all(): readonly TaskEvent[] {
    return this.after(0, Infinity);
  }

  /** Takes what was kept of another one. */
  restore(events: readonly TaskEvent[], lastSeq: number): void {
    for (const { seq: _, at, ...body } of events) this.#append({ at, body });
    this.#lastSeq = lastSeq;
  }

  after(seq: number, max: number): readonly TaskEvent[] {
    const dropped = this.#lastSeq - this.#size;
    const from = Math.max(0, seq - dropped);
    return this.#moments
      .slice(from, Math.min(from + max, this.#size))
      .map((moment, index) => ({ ...moment!.body, seq: dropped + from + index + 1, at: moment!.at }));
  }

  #append(moment: Moment): void {
    if (this.#size < this.#moments.length) this.#moments[this.#size] = moment;
    else this.#moments.push(moment);
    this.#size += 1;
  }
}
