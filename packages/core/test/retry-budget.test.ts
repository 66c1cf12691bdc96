import { constant, hedge, InvalidOptionError, pipeline, retry, retryBudget } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

describe("retryBudget", () => {
  it("allows the reserve to a quiet client, and not one more", () => {
    const budget = retryBudget({ minPerSecond: 1, window: "2s", minInFlight: 100, clock: manualClock() });
    expect([budget.tryExtra(), budget.tryExtra(), budget.tryExtra()]).toEqual([true, true, false]);
    expect(budget.snapshot()).toMatchObject({ extras: 2, available: 0, refused: 1 });
  });

  it("allows a fifth of the calls within the window besides", () => {
    const budget = retryBudget({ minPerSecond: 0, minInFlight: 100, clock: manualClock() });
    for (let call = 0; call < 50; call += 1) budget.callBegan();
    const taken = Array.from({ length: 20 }, () => budget.tryExtra()).filter(Boolean);
    expect(taken).toHaveLength(10);
  });

  it("bounds the extra runs in flight, and takes them back when they end", () => {
    const budget = retryBudget({ minPerSecond: 1_000, minInFlight: 2, clock: manualClock() });
    expect([budget.tryExtra(), budget.tryExtra(), budget.tryExtra()]).toEqual([true, true, false]);
    budget.extraEnded();
    expect(budget.tryExtra()).toBe(true);
    for (let call = 0; call < 20; call += 1) budget.callBegan();
    expect([budget.tryExtra(), budget.tryExtra(), budget.tryExtra()]).toEqual([true, true, false]);
  });

  it("forgets calls and extra runs once they have left the window", async () => {
    const clock = manualClock();
    const budget = retryBudget({ minPerSecond: 0, window: "10s", minInFlight: 100, clock });
    for (let call = 0; call < 10; call += 1) budget.callBegan();
    expect([budget.tryExtra(), budget.tryExtra(), budget.tryExtra()]).toEqual([true, true, false]);
    await clock.advance("9s");
    expect(budget.snapshot()).toMatchObject({ calls: 10, extras: 2, callsInFlight: 10 });
    await clock.advance("1s");
    expect(budget.snapshot()).toMatchObject({ calls: 0, extras: 0, callsInFlight: 10, available: 0 });
  });

  it("[bug 12] does not refill when the wall clock jumps", () => {
    const clock = manualClock();
    const budget = retryBudget({ minPerSecond: 1, window: "1s", clock });
    expect(budget.tryExtra()).toBe(true);
    clock.jumpWallClock(3_600_000);
    expect(budget.tryExtra()).toBe(false);
    clock.jumpWallClock(-7_200_000);
    expect(budget.tryExtra()).toBe(false);
  });

  it("[bug 7] holds for retries and hedges together, counting each call once", async () => {
    const clock = manualClock();
    const budget = retryBudget({ ratio: 0.2, minPerSecond: 0, minInFlight: 1_000, clock });
    const both = pipeline(
      retry({ attempts: 4, backoff: constant(10), budget, clock }),
      hedge({ delay: 5, maxHedges: 2, budget, clock }),
    );
    let runs = 0;
    const calls = Array.from({ length: 50 }, () =>
      both
        .run(async () => {
          runs += 1;
          await clock.sleep(20);
          throw new Error("slow and down");
        })
        .catch(() => "down"),
    );
    await clock.advance("10s");
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 50 }, () => "down"));
    expect(runs).toBe(60);
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0 });
    expect(budget.snapshot().refused).toBeGreaterThan(0);
  });

  it("refuses options out of range", () => {
    expect(() => retryBudget({ ratio: 1.5 })).toThrow(InvalidOptionError);
    expect(() => retryBudget({ minPerSecond: -1 })).toThrow(/minPerSecond/);
    expect(() => retryBudget({ window: "10ms" })).toThrow(/window/);
    expect(() => retryBudget({ minInFlight: 0.5 })).toThrow(/minInFlight/);
  });
});
