import { memoryIdempotencyStore } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { steps, tryOut } from "./support/idempotency-model.ts";
import { ruleStore } from "./support/rule-store.ts";

const LOCK_MS = 1_000;
const ref = { scope: "s", key: "k" };

describe("idempotency under two clients and more", () => {
  it("repeats no effect unwarned, lets no zombie write, and never changes a result, in any interleaving", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const clock = manualClock();
        const store = memoryIdempotencyStore({ clock });
        await tryOut(store, ref, plan, { lockMs: LOCK_MS, wait: (ms) => clock.advance(ms) });
      }),
      { numRuns: 2_000 },
    );
  });

  it("is a model that finds a store which knows no doubt", async () => {
    const found = await fc.check(
      fc.asyncProperty(steps, async (plan) => {
        const clock = manualClock();
        const store = ruleStore({
          clock,
          rules: ({ begin }) => ({
            begin: (known, request, now, next) => {
              const { record, outcome } = begin(known, { ...request, takeDoubtful: true }, now, next);
              return {
                record,
                outcome: outcome.kind === "acquired" ? { ...outcome, doubt: false } : outcome,
              };
            },
          }),
        });
        await tryOut(store, ref, plan, { lockMs: LOCK_MS, wait: (ms) => clock.advance(ms) });
      }),
      { numRuns: 2_000 },
    );
    expect(found.failed).toBe(true);
  });
});
