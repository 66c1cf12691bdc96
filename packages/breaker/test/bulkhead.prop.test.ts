import { bulkhead } from "@holdfast/breaker";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

type Step =
  | { readonly do: "call"; readonly priority: number }
  | { readonly do: "end" | "abort"; readonly call: number }
  | { readonly do: "settle" };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant("call" as const), priority: fc.integer({ min: -1, max: 1 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constantFrom("end" as const, "abort" as const), call: fc.nat(15) }),
    },
    { weight: 2, arbitrary: fc.constant({ do: "settle" } as const) },
  ),
  { maxLength: 60 },
);

interface Call {
  readonly id: number;
  readonly priority: number;
  readonly stop: AbortController;
  state: "waiting" | "running" | "over";
  end: () => void;
  outcome: unknown;
}

describe("bulkhead beside a plain list", () => {
  it("never runs more than it may, starts strictly in order, and loses no slot, whoever leaves when", async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 0, max: 4 }),
        async (plan, concurrent, queue) => {
          const clock = manualClock();
          const guard = bulkhead({ concurrent, queue, clock });
          const calls: Call[] = [];
          const started: number[] = [];
          const order = (): Call[] =>
            calls
              .filter(({ state }) => state === "waiting")
              .toSorted((a, b) => b.priority - a.priority || a.id - b.id);
          const running = (): number => calls.filter(({ state }) => state === "running").length;
          const make = (priority: number): void => {
            const call: Call = {
              id: calls.length,
              priority,
              stop: new AbortController(),
              state: "over",
              end: () => {},
              outcome: undefined,
            };
            const mayRun = order().length === 0 && running() < concurrent;
            const mayWait = order().length < queue;
            call.state = mayRun ? "running" : mayWait ? "waiting" : "over";
            calls.push(call);
            void guard
              .run(() => (started.push(call.id), new Promise<void>((resolve) => (call.end = resolve))), {
                priority,
                signal: call.stop.signal,
              })
              .then(
                () => (call.outcome = "ended"),
                (error: unknown) => (call.outcome = (error as { code?: unknown }).code ?? error),
              );
          };
          for (const step of plan) {
            if (step.do === "call") make(step.priority);
            else if (step.do === "end" || step.do === "abort") {
              const call = calls[step.call];
              if (call === undefined || call.state === "over") continue;
              // Work that has not begun cannot end.
              if (step.do === "end" && call.state === "waiting") continue;
              const before = call.state;
              call.state = "over";
              if (step.do === "abort") call.stop.abort("stop");
              if (before === "running") call.end();
              // The slot is free once the work's end has been noticed.
              await clock.advance(0);
              while (running() < concurrent && order().length > 0) order()[0]!.state = "running";
            } else await clock.advance(0);
            expect(guard.running).toBe(running());
            expect(guard.waiting).toBe(order().length);
          }
          for (let round = 0; round < 100 && calls.some(({ state }) => state !== "over"); round += 1) {
            for (const call of calls.filter(({ state }) => state === "running")) {
              call.state = "over";
              call.end();
            }
            await clock.advance(0);
            while (running() < concurrent && order().length > 0) order()[0]!.state = "running";
          }
          await clock.advance(0);
          expect([guard.running, guard.waiting]).toEqual([0, 0]);
          expect(calls.every(({ outcome }) => outcome !== undefined)).toBe(true);
          expect(new Set(started).size).toBe(started.length);
        },
      ),
      { numRuns: 500 },
    );
  });
});
