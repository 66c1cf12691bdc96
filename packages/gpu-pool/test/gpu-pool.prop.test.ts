import { manualClock } from "@holdfast/core/testing";
import { gpuPool } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("ask" as const),
      priority: fc.nat(1),
      within: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("succeed" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("fail" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("crash" as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("abort" as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.nat(400) }) },
);

const CODES = ["DEADLINE_EXCEEDED", "WORKER_CRASHED", "POOL_SATURATED", "CLOSED"];

interface Asked {
  readonly stop: AbortController;
  aborted: boolean;
  settled: string[];
}

describe("gpuPool, over any sequence of answers, crashes, aborts and waits", () => {
  it("settles every request exactly once, within capacity, and leaves nothing behind", async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 40 }), async (heeds, steps) => {
        const clock = manualClock();
        const workers = new ScriptedWorkers(
          [
            { id: "a", capacity: 1 },
            { id: "b", capacity: 2 },
          ],
          { heeds },
        );
        const pool = gpuPool({ workers, models: [{ name: "m" }], clock, queueLimit: 4, cancelGrace: 50 });
        await clock.advance(0);
        const asked: Asked[] = [];
        const ask = (priority: number, within: number | undefined): void => {
          const one: Asked = { stop: new AbortController(), aborted: false, settled: [] };
          const { signal } = one.stop;
          asked.push(one);
          pool.run("m", asked.length - 1, { signal, priority, deadline: within }).then(
            (output) => one.settled.push(String(output)),
            (error: { code?: string } | string) =>
              one.settled.push(typeof error === "string" ? error : (error.code ?? "an error without a code")),
          );
        };
        const pick = (at: number): number | undefined => {
          const ids = [...workers.running.keys()];
          return ids[at % Math.max(1, ids.length)];
        };
        for (const one of steps) {
          if (one.type === "ask") ask(one.priority, one.within);
          if (one.type === "succeed" || one.type === "fail" || one.type === "crash") {
            const id = pick(one.pick);
            if (id === undefined) continue;
            const { device, input } = workers.running.get(id)!;
            if (one.type === "succeed") workers.succeed(id, `output of ${String(input)}`);
            else if (one.type === "fail") workers.fail(id, Object.assign(new Error("bad"), { code: "BAD" }));
            else {
              const lost = [...workers.running.values()].filter((other) => other.device === device);
              const before = asked.map(({ settled }) => settled.length);
              workers.crash(device);
              await clock.advance(0);
              // It fails what its device ran, and nothing else.
              asked.forEach(({ settled }, index) => {
                if (settled.length > before[index]!)
                  expect(lost.map((other) => other.input)).toContain(index);
              });
            }
          }
          if (one.type === "abort" && asked.length > 0) {
            const target = asked[one.pick % asked.length]!;
            const wasSettled = target.settled.length > 0;
            target.stop.abort("taken back");
            await clock.advance(0);
            if (!wasSettled) expect(target.settled).toEqual(["taken back"]);
          }
          if (one.type === "wait") await clock.advance(one.ms);
          await clock.advance(0);
          // Four that came, and what a crash of the larger device has put back: it was let in before.
          expect(pool.snapshot().waiting).toBeLessThanOrEqual(4 + 2);
        }
        const closed = pool.close({ within: 100 });
        await clock.advance(1_000);
        await closed;
        asked.forEach(({ settled }, index) => {
          expect(settled).toHaveLength(1);
          expect([...CODES, "BAD", "taken back", `output of ${index}`]).toContain(settled[0]);
        });
        for (const [device, peak] of workers.peaks) expect(peak).toBeLessThanOrEqual(device === "a" ? 1 : 2);
        expect([workers.alive, clock.pendingTimers]).toEqual([0, 0]);
      }),
      { numRuns: 200 },
    );
  });
});
