import { memoryCircuitStore } from "@holdfast/breaker";
import { circuitStoreConformance } from "@holdfast/breaker/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

let clock: ManualClock;
circuitStoreConformance(
  { describe, it },
  {
    make: () => memoryCircuitStore({ clock: (clock = manualClock()), keep: "10s" }),
    advance: (ms) => clock.advance(ms),
    keepMs: 10_000,
  },
);

describe("memoryCircuitStore", () => {
  it("is bounded: it refuses circuits that it has no room for, until others are forgotten", async () => {
    clock = manualClock();
    const store = memoryCircuitStore({ clock, maxCircuits: 2, keep: "10s" });
    const openTime = { initialMs: 1_000, maxMs: 1_000, factor: 1, stretch: 1, atLeastMs: 0 };
    const vote = (key: string) =>
      store.vote({ key, voter: "a", generation: 0, quorum: 2, windowMs: 1_000, openTime });
    await vote("a");
    await vote("b");
    await expect(vote("c")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE", reason: "full" });
    expect((await vote("a")).votes).toBe(1);
    await clock.advance("12s");
    expect((await vote("c")).votes).toBe(1);
    expect(() => memoryCircuitStore({ maxCircuits: 0 })).toThrow(/maxCircuits/);
  });
});
