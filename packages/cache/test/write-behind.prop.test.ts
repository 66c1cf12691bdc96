// Whatever the order in which processes write, fail, freeze, crash and take over: what a log has acknowledged reaches the
// source, the newest value last, and no reader sees anything older meanwhile.
import { memoryWriteLog } from "@holdfast/cache";
import { manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { DueHeap } from "../src/write-behind/due-heap.ts";
import { World } from "./support/write-behind-model.ts";

const key = fc.constantFrom("a", "b", "c");
const index = fc.nat(20);
const calm = [
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("write" as const), index, key }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("land" as const), index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("fail" as const), index }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("load" as const), index, key }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1, 10, 60, 300) }),
  },
] as const;
const faults = [
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("freeze" as const), index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("thaw" as const), index }) },
] as const;
const calmStep = fc.oneof(...calm);
const anyStep = fc.oneof(...calm, ...faults);
const setting = fc.record({
  processes: fc.constantFrom(1, 2, 3),
  lagMs: fc.constantFrom(0, 1, 7),
  delayMs: fc.constantFrom(0, 30),
  batches: fc.boolean(),
  faults: fc.constantFrom(0, 0.05, 0.3),
  seed: fc.integer(),
});

type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;
type Setting = typeof setting extends fc.Arbitrary<infer T> ? T : never;

async function live(
  plan: readonly Step[],
  given: Setting,
  checksFences: boolean,
): Promise<readonly string[]> {
  const clock = manualClock();
  const log = memoryWriteLog({ clock });
  const world = new World({ clock, log, checksFences, ...given, random: seededRandom(given.seed) });
  for (const step of plan) {
    if (step.kind === "write") world.write(step.index, step.key);
    else if (step.kind === "load") world.load(step.index, step.key);
    else if (step.kind === "land") world.land(step.index, true);
    else if (step.kind === "fail") world.land(step.index, false);
    else if (step.kind === "pass") await clock.advance(step.ms);
    else world[step.kind](step.index);
    await clock.advance(0);
  }
  world.heal();
  for (const at of world.processes.keys()) world.thaw(at);
  for (let round = 0; round < 100; round += 1) {
    while (world.landings.length > 0) world.land(0, true);
    await clock.advance(100);
    if (world.landings.length === 0 && (await log.stats()).pending === 0) break;
  }
  expect(await log.stats()).toMatchObject({ pending: 0, dead: 0 });
  world.check();
  return world.problems;
}

describe("write-behind", () => {
  it(
    row(
      62,
      "loses nothing that was acknowledged and ends with the newest values, whatever crashes, freezes, fails and is taken over",
    ),
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 60 }), setting, async (plan, given) => {
          expect(await live(plan, given, true)).toEqual([]);
        }),
        { numRuns: 800 },
      );
    },
  );

  it("needs no fences at the source as long as no process is frozen or ends: no key is written twice at a time", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(calmStep, { minLength: 5, maxLength: 60 }), setting, async (plan, given) => {
        // A log that cannot be asked for as long as a lease is as good as a frozen process.
        expect(await live(plan, { ...given, faults: 0 }, false)).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });

  it("needs fences at the source when a process was frozen: there is a plan by which it writes too late", async () => {
    const plan: readonly Step[] = [
      { kind: "write", index: 0, key: "a" },
      { kind: "pass", ms: 10 },
      { kind: "freeze", index: 0 },
      { kind: "write", index: 1, key: "a" },
      { kind: "pass", ms: 300 },
      { kind: "land", index: 1 },
      { kind: "land", index: 0 },
    ];
    const given: Setting = { processes: 2, lagMs: 0, delayMs: 0, batches: false, faults: 0, seed: 1 };
    expect(await live(plan, given, false)).not.toEqual([]);
    expect(await live(plan, given, true)).toEqual([]);
  });
});

describe("DueHeap", () => {
  it("gives each item at its last time, in order, those that were set first first", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ item: fc.nat(30), at: fc.nat(20), gone: fc.boolean() }), { maxLength: 300 }),
        (steps) => {
          const items = Array.from({ length: 31 }, (_, id) => ({ id }));
          const heap = new DueHeap<{ readonly id: number }>();
          const model = new Map<number, number>();
          for (const { item, at, gone } of steps) {
            model.delete(item);
            if (gone) heap.delete(items[item]!);
            else {
              heap.set(items[item]!, at);
              model.set(item, at);
            }
          }
          const expected = [...model].sort(([, a], [, b]) => a - b).map(([id]) => id);
          expect(heap.firstAt).toBe(expected[0] === undefined ? undefined : model.get(expected[0]));
          const taken: number[] = [];
          for (let due = heap.takeDue(20); due !== undefined; due = heap.takeDue(20)) taken.push(due.id);
          expect(taken).toEqual(expected);
          expect(heap.takeDue(Infinity)).toBeUndefined();
        },
      ),
    );
  });
});
