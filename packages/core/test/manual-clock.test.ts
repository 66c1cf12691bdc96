import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leakCheck, manualClock } from "@holdfast/core/testing";

describe("manualClock", () => {
  it("stands still until it is moved", () => {
    const clock = manualClock(1_000);
    expect([clock.now(), clock.monotonic(), clock.pendingTimers]).toEqual([1_000, 0, 0]);
  });

  it("runs timers at their own moment, in order, with the promises they settle in between", async () => {
    const clock = manualClock();
    const seen: string[] = [];
    void clock.sleep(10).then(async () => {
      seen.push(`first at ${clock.monotonic()}`);
      await clock.sleep(5);
      seen.push(`inner at ${clock.monotonic()}`);
    });
    clock.setTimer(20, () => seen.push(`last at ${clock.monotonic()}`));
    await clock.advance(100);
    expect(seen).toEqual(["first at 10", "inner at 15", "last at 20"]);
    expect(clock.monotonic()).toBe(100);
  });

  it("runs timers of one moment in the order they were set", async () => {
    const clock = manualClock();
    const seen: number[] = [];
    for (let index = 0; index < 50; index += 1) clock.setTimer(7, () => seen.push(index));
    await clock.advance(7);
    expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it("does not run a timer that a timer before it cancels", async () => {
    const clock = manualClock();
    const seen: string[] = [];
    clock.setTimer(5, () => second.cancel());
    const second = clock.setTimer(5, () => seen.push("second"));
    await clock.advance(5);
    expect(seen).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("reaches the next timer exactly, also where floating point would fall short of it", async () => {
    const clock = manualClock();
    let fired = 0;
    for (let index = 1; index <= 200; index += 1) clock.setTimer(index / 10 + index / 7, () => (fired += 1));
    for (let index = 1; index <= 200; index += 1) {
      expect(await clock.advanceToNextTimer()).toBe(true);
      expect(fired).toBe(index);
    }
    expect(await clock.advanceToNextTimer()).toBe(false);
  });

  it("runs the other timers when one throws, then throws its error", async () => {
    const clock = manualClock();
    const seen: string[] = [];
    const boom = new Error("boom");
    clock.setTimer(1, () => {
      throw boom;
    });
    clock.setTimer(2, () => seen.push("other"));
    await expect(clock.advance(5)).rejects.toBe(boom);
    expect(seen).toEqual(["other"]);
    expect(clock.monotonic()).toBe(5);
    for (let index = 0; index < 2; index += 1)
      clock.setTimer(1, () => {
        throw boom;
      });
    expect(() => clock.advanceSync(1)).toThrow(AggregateError);
  });

  it("never runs its monotonic time backwards, even when two advances overlap", async () => {
    const clock = manualClock();
    clock.setTimer(10, () => clock.advanceSync(1_000));
    await Promise.all([clock.advance(100), clock.advance(20)]);
    expect(clock.monotonic()).toBe(1_010);
  });

  it("[bug 19] sleeps leave no listener and no timer, whether they end in time or by an abort", async () => {
    const clock = manualClock();
    const controller = new AbortController();
    const check = leakCheck({ signals: [controller.signal], clocks: [clock] });
    const slept = clock.sleep(10, controller.signal);
    await clock.advance(10);
    await slept;
    check.assertNone();
    const asleep = clock.sleep("1h", controller.signal);
    controller.abort("up");
    await expect(asleep).rejects.toBe("up");
    await expect(clock.sleep("1h", controller.signal)).rejects.toBe("up");
    check.assertNone();
  });

  it("moves wall time alone when the wall clock jumps", async () => {
    const clock = manualClock(5_000);
    let fired = false;
    clock.setTimer(10, () => (fired = true));
    clock.jumpWallClock(-3_600_000);
    await clock.advance(5);
    expect([clock.now(), fired]).toEqual([5_005 - 3_600_000, false]);
    await clock.advance(5);
    expect(fired).toBe(true);
  });

  it("agrees with a sorted list about what fires, and in which order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ delay: fc.integer({ min: 0, max: 30 }), cancel: fc.boolean() }), {
          maxLength: 40,
        }),
        fc.integer({ min: 0, max: 40 }),
        async (timers, until) => {
          const clock = manualClock();
          const fired: number[] = [];
          const set = timers.map(({ delay }, index) => clock.setTimer(delay, () => fired.push(index)));
          timers.forEach(({ cancel }, index) => {
            if (cancel) set[index]!.cancel();
          });
          const live = timers.map((timer, index) => ({ ...timer, index })).filter((timer) => !timer.cancel);
          expect(clock.pendingTimers).toBe(live.length);
          clock.advanceSync(until);
          const due = live.filter((timer) => timer.delay <= until);
          due.sort((a, b) => a.delay - b.delay || a.index - b.index);
          expect(fired).toEqual(due.map((timer) => timer.index));
          expect(clock.pendingTimers).toBe(live.length - due.length);
        },
      ),
      { numRuns: 500 },
    );
  });
});
