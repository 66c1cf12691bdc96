import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WheelTimer } from "../src/time/timer-wheel.ts";
import { TimerWheel } from "../src/time/timer-wheel.ts";

/** Distances around every boundary of the wheel, and anything between. */
const distance = fc.oneof(
  fc.integer({ min: -5, max: 200 }),
  fc.integer({ min: 0, max: 300_000 }),
  fc
    .record({ level: fc.integer({ min: 1, max: 8 }), offset: fc.integer({ min: -70, max: 70 }) })
    .map(({ level, offset }) => 64 ** level + offset),
  fc.integer({ min: 0, max: 2 ** 45 }),
);

type Step =
  | { readonly kind: "add"; readonly distance: number }
  | { readonly kind: "remove"; readonly pick: number }
  | { readonly kind: "advance"; readonly distance: number }
  | { readonly kind: "hop" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("add" as const), distance }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("advance" as const), distance }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("hop" as const) }) },
);

/** The wheel beside the simplest thing that could be right: a list. */
class Pair {
  readonly #wheel: TimerWheel;
  #model: WheelTimer[] = [];
  #now: number;

  constructor(start: number) {
    this.#wheel = new TimerWheel(start);
    this.#now = start;
  }

  apply(step: Step): void {
    if (step.kind === "add")
      this.#model.push(this.#wheel.add(this.#now + step.distance, () => {}, step.distance % 2 === 0));
    if (step.kind === "remove") this.#remove(step.pick);
    if (step.kind === "advance") this.#advance(this.#now + Math.max(0, step.distance));
    // What the system clock does: sleep until something may be due.
    if (step.kind === "hop" && this.#model.length > 0) this.#advance(this.#wheel.nextTick());
    expect(this.#wheel.size).toBe(this.#model.length);
    expect(this.#wheel.keepAliveCount).toBe(this.#model.filter((timer) => timer.keepAlive).length);
  }

  drain(): void {
    for (let hops = 0; this.#model.length > 0; hops += 1) {
      expect(hops).toBeLessThan(20_000);
      this.#advance(this.#wheel.nextTick());
    }
    expect(this.#wheel.nextTick()).toBe(Infinity);
  }

  #remove(pick: number): void {
    const timer = this.#model[pick % Math.max(1, this.#model.length)];
    if (timer === undefined) return;
    timer.cancel();
    this.#model = this.#model.filter((other) => other !== timer);
  }

  #advance(to: number): void {
    const earliest = Math.min(...this.#model.map((timer) => timer.due));
    expect(this.#wheel.nextTick()).toBeLessThanOrEqual(earliest);
    const expected = this.#model
      .filter((timer) => timer.due <= to)
      .sort((a, b) => a.due - b.due || a.order - b.order);
    this.#model = this.#model.filter((timer) => timer.due > to);
    this.#now = Math.max(this.#now, to);
    const due = this.#wheel.advance(to);
    expect(due.map((timer) => timer.order)).toEqual(expected.map((timer) => timer.order));
    expect(due.every((timer) => timer.take())).toBe(true);
  }
}

describe("TimerWheel", () => {
  it("agrees with a plain list about every timer, whatever is added, removed and skipped", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 31 - 1 }),
        fc.array(step, { minLength: 1, maxLength: 60 }),
        (start, steps) => {
          const pair = new Pair(start);
          for (const each of steps) pair.apply(each);
          pair.drain();
        },
      ),
      { numRuns: 5_000 },
    );
  });
});
