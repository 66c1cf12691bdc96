// Names of steps and events: what is said of them, and the name of what is recorded.
import { optionsOf } from "@holdfast/core";

const STEP = /^[\w ./-]{1,100}$/;
const EVENT = /^[\w.-]{1,100}$/;

/**
 * The checkpoint that an event is recorded as. No step can have this name: theirs have no colon.
 *
 * @throws InvalidOptionError
 */
export function eventCheckpoint(event: string): string {
  if (typeof event === "string" && EVENT.test(event)) return `event:${event}`;
  const expected = "1 to 100 letters, digits, dots, hyphens and underscores";
  return optionsOf("signal").refuse("event", event, expected);
}

/** Gives out the names of one run. */
export class StepNames {
  #used = new Map<string, number>();

  /** How often each name has been given out. */
  get given(): ReadonlyMap<string, number> {
    return new Map(this.#used);
  }

  /** Gives out the same names again as at that time. */
  rewind(given: ReadonlyMap<string, number>): void {
    this.#used = new Map(given);
  }

  /** Gives out no name that had been given out at that time. */
  forward(given: ReadonlyMap<string, number>): void {
    for (const [name, times] of given) this.#used.set(name, Math.max(times, this.#used.get(name) ?? 0));
  }

  /** @throws InvalidOptionError */
  step(name: string, prefix: string = ""): string {
    if (typeof name === "string" && STEP.test(name)) return this.numbered(prefix + name).slice(prefix.length);
    const expected = "1 to 100 letters, digits, spaces, dots, slashes, hyphens and underscores";
    return optionsOf("step").refuse("name", name, expected);
  }

  /** The name as it is the first time it is used, then with `#2`, `#3` and so on. */
  numbered(name: string): string {
    const times = (this.#used.get(name) ?? 0) + 1;
    this.#used.set(name, times);
    return times === 1 ? name : `${name}#${times}`;
  }
}
