// Closing, whatever the connection to the store is doing meanwhile, on a clock that stands still.
import { defineTask, handle } from "@holdfast/queue";
import type { Fault } from "@holdfast/core/testing";
import { faulty } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

interface Plan {
  readonly ms: number;
  /** Whether its handler goes on when it is told to stop. */
  readonly isDeaf: boolean;
}

const work = defineTask<Plan, Plan, number>({ name: "work", keepFor: "1d", leaseLosses: 50 });

/** What a connection does with a call; `undefined`: the store answers. */
const aState: fc.Arbitrary<Fault | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom<Fault>(
    { kind: "error" },
    { kind: "lost-reply" },
    { kind: "hang" },
    { kind: "latency", delay: 40 },
    { kind: "latency", delay: 5_000 },
  ),
);
const aPlan: fc.Arbitrary<Plan> = fc.record({
  ms: fc.constantFrom(0, 30, 900, 4_000),
  isDeaf: fc.boolean(),
});

describe("[I13] close", () => {
  it("settles within its budget in every state of the connection, however these change and whatever runs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(aPlan, { maxLength: 6 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3_000 }), aState), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 0, max: 4_000 }),
        fc.constantFrom(0, 1, 50, 1_000, 7_500),
        async (plans, changes, closesAt, within) => {
          const { clock, store, queue } = bench();
          for (const [number, plan] of plans.entries())
            await queue.enqueue(work, plan, { id: `task-${number}` });
          let state: Fault | undefined;
          let at = 0;
          for (const [ms, next] of changes) clock.setTimer((at += ms), () => void (state = next));
          const line = faulty(store, { plan: () => state, clock });
          const handler = handle(work, async ({ input, signal }) => {
            await clock.sleep(input.ms, input.isDeaf ? undefined : signal);
            return input.ms;
          });
          const working = bench({ store: line, clock }).work([handler], { lease: "1s", concurrency: 4 });
          await clock.advance(closesAt);
          const begunAt = clock.monotonic();
          let endedAt: number | undefined;
          const closing = working.close({ within }).then(() => (endedAt = clock.monotonic()));
          await clock.advance(within);
          expect(endedAt).toBeDefined();
          expect(endedAt! - begunAt).toBeLessThanOrEqual(within);
          await closing;
          // What was on its way when it closed hurts nobody, and what it held is run by another worker.
          state = undefined;
          const last = bench({ store, clock }).work([handler], { lease: "1s" });
          await clock.advance("40s");
          const ids = plans.map((_, number) => `task-${number}`);
          for (const id of ids) expect((await queue.status(id)).state).toBe("completed");
          const ending = last.close({ within: 0 });
          await clock.advance(0);
          await ending;
        },
      ),
      { numRuns: 60 },
    );
  });
});
