import { adaptiveThrottle } from "@holdfast/breaker";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

type Step =
  | { readonly do: "call" }
  | { readonly do: "accept" | "refuse" | "abort"; readonly call: number }
  | { readonly do: "advance"; readonly ms: number };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant({ do: "call" } as const) },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constantFrom("accept" as const, "refuse" as const, "abort" as const),
        call: fc.nat(20),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("advance" as const),
        ms: fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.constant(3_600_000)),
      }),
    },
  ),
  { maxLength: 60 },
);

interface Call {
  readonly stop: AbortController;
  over: boolean;
  accept: () => void;
  refuse: () => void;
}

const WINDOW_MS = 2_400;
/** The window moves by this much. */
const STEP_MS = 100;
const K = 2;

describe("adaptive throttle beside two plain lists", () => {
  it("counts what was asked for and accepted within its window, and holds back by the published formula", async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom(0, 2, 100),
        async (plan, dice, undecided) => {
          const clock = manualClock();
          const throttle = adaptiveThrottle({
            k: K,
            window: WINDOW_MS,
            undecided,
            clock,
            random: () => dice,
          });
          const calls: Call[] = [];
          const requests = new Map<Call, number>();
          const accepts: number[] = [];
          const slice = (): number => Math.floor(clock.monotonic() / STEP_MS);
          const within = (at: number): boolean => slice() - at < WINDOW_MS / STEP_MS;
          const counts = (): { requests: number; accepts: number; probability: number } => {
            const asked = [...requests.values()].filter(within).length;
            const accepted = accepts.filter(within).length;
            const underWay = calls.filter(({ over }) => !over).length;
            const judged = Math.max(0, asked - Math.min(underWay, undecided));
            return {
              requests: asked,
              accepts: accepted,
              probability: Math.max(0, (judged - K * accepted) / (judged + 1)),
            };
          };
          for (const step of plan) {
            if (step.do === "advance") await clock.advance(step.ms);
            else if (step.do === "call") {
              const { probability } = counts();
              const call: Call = {
                stop: new AbortController(),
                over: true,
                accept: () => {},
                refuse: () => {},
              };
              requests.set(call, slice());
              throttle
                .run(
                  () =>
                    new Promise<void>((resolve, reject) => {
                      call.over = false;
                      call.accept = resolve;
                      call.refuse = () => reject(Object.assign(new Error("busy"), { status: 503 }));
                    }),
                  { signal: call.stop.signal },
                )
                .catch(() => {});
              // `over` from the start: it was not sent.
              expect(call.over).toBe(dice < probability);
              calls.push(call);
            } else {
              const call = calls[step.call];
              if (call === undefined || call.over) continue;
              call.over = true;
              if (step.do === "abort") {
                call.stop.abort("enough");
                call.refuse();
                requests.delete(call);
              } else if (step.do === "accept") {
                call.accept();
                accepts.push(slice());
              } else call.refuse();
              await clock.advance(0);
            }
            expect(throttle.snapshot()).toMatchObject(counts());
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
