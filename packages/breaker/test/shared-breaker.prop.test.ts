import fc from "fast-check";
import { describe, it } from "vitest";
import { Fleet, PROBES, QUORUM, steps } from "./support/fleet-model.ts";

describe("a fleet of breakers", () => {
  it(`opens by ${QUORUM} votes, probes by ${PROBES} leases and closes, however its members are late, cut off, paused or misled`, async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const fleet = new Fleet();
        for (const step of plan) await fleet.take(step);
        await fleet.recovers();
      }),
      { numRuns: 1_500 },
    );
  });
});
