// What is recorded of one saga, by name. Names of sagas and steps have no colon.
import type { StepJournal } from "./step-journal.ts";

export class SagaRecords {
  constructor(
    private readonly journal: StepJournal,
    private readonly saga: string,
  ) {}

  /** The saga was reached; when it is due, if it has a deadline. */
  get opened(): string {
    return `saga:${this.saga}`;
  }

  /** It is done, with what its body answered. */
  get done(): string {
    return `done:${this.saga}`;
  }

  get pivot(): string {
    return `pivot:${this.saga}`;
  }

  /** It is to be undone, and why. From here on there is no way forward. */
  get undo(): string {
    return `undo:${this.saga}`;
  }

  /** All is undone. */
  get compensated(): string {
    return `compensated:${this.saga}`;
  }

  /** A step with a compensation is about to run for the first time. */
  begun(step: string): string {
    return `begun:${this.saga}:${step}`;
  }

  undone(step: string): string {
    return `undone:${this.saga}:${step}`;
  }

  /** Steps that have begun and are not undone, the last one first. */
  get open(): readonly string[] {
    const begun = this.journal.namesOf(this.begun("")).map((name) => name.slice(this.begun("").length));
    return begun.filter((step) => !this.journal.has(this.undone(step))).toReversed();
  }

  /** The next time that it is parked for somebody's help. */
  get parked(): string {
    return `parked:${this.saga}:${this.#timesParked + 1}`;
  }

  /** How often a compensation has begun since the saga was parked. */
  tries(step: string): number {
    return this.journal.namesOf(this.#tries(step)).length;
  }

  /** The next try of a compensation. */
  try(step: string): string {
    return `${this.#tries(step)}${this.tries(step) + 1}`;
  }

  #tries(step: string): string {
    return `undoing:${this.saga}:${step}:${this.#timesParked}:`;
  }

  get #timesParked(): number {
    return this.journal.namesOf(`parked:${this.saga}:`).length;
  }
}
