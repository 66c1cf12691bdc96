import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSystemClock, systemClock } from "@holdfast/core";

// The host's timers and performance.now() are vitest's here; real ones are in system-clock.int.test.ts.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("system clock", () => {
  it("never fires before the duration has passed, and within two milliseconds after it", () => {
    const clock = createSystemClock();
    for (const ms of [0, 1, 5, 63, 64, 65, 1_000, 4_096, 100_000]) {
      const setAt = clock.monotonic();
      let firedAt = 0;
      clock.setTimer(ms, () => (firedAt = clock.monotonic()));
      vi.advanceTimersByTime(ms + 3);
      expect(firedAt - setAt).toBeGreaterThanOrEqual(ms);
      expect(firedAt - setAt).toBeLessThanOrEqual(ms + 2);
    }
  });

  it("[bug 11] a timer beyond 2^31 ms does not fire at once, and fires when its time has come", () => {
    const clock = createSystemClock();
    const fired = vi.fn();
    const ms = 2 ** 31 + 5_000;
    clock.setTimer(ms, fired);
    vi.advanceTimersByTime(ms - 1);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(3);
    expect(fired).toHaveBeenCalledOnce();
  });

  it("has at most one timer at the host, however many it holds", () => {
    const clock = createSystemClock();
    const timers = Array.from({ length: 1_000 }, (_, index) => clock.setTimer(index * 7, () => {}));
    expect(vi.getTimerCount()).toBe(1);
    for (const timer of timers) timer.cancel();
    vi.advanceTimersByTime(10_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not fire a timer that another one's callback cancels at the same tick", () => {
    const clock = createSystemClock();
    const fired = vi.fn();
    clock.setTimer(10, () => second.cancel());
    const second = clock.setTimer(10, fired);
    vi.advanceTimersByTime(100);
    expect(fired).not.toHaveBeenCalled();
  });

  it("takes timers set from within a callback, also for right now", () => {
    const clock = createSystemClock();
    const order: string[] = [];
    clock.setTimer(10, () => {
      order.push("first");
      clock.setTimer(0, () => order.push("second"));
    });
    clock.setTimer(500, () => order.push("last"));
    vi.advanceTimersByTime(20);
    expect(order).toEqual(["first", "second"]);
    vi.advanceTimersByTime(500);
    expect(order).toEqual(["first", "second", "last"]);
  });

  it("wakes earlier when a nearer timer is set after a farther one", () => {
    const clock = createSystemClock();
    const order: string[] = [];
    clock.setTimer("1h", () => order.push("far"));
    clock.setTimer(5, () => order.push("near"));
    vi.advanceTimersByTime(7);
    expect(order).toEqual(["near"]);
    vi.advanceTimersByTime(3_600_000);
    expect(order).toEqual(["near", "far"]);
  });

  it("[bug 12] a wall clock set back or forward by an hour moves no timer (survival row 1)", () => {
    const clock = createSystemClock();
    const fired = vi.fn();
    clock.setTimer("1s", fired);
    const before = clock.now();
    vi.setSystemTime(before - 3_600_000);
    vi.advanceTimersByTime(900);
    expect(fired).not.toHaveBeenCalled();
    vi.setSystemTime(before + 3_600_000);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(103);
    expect(fired).toHaveBeenCalledOnce();
    expect(clock.now()).toBeGreaterThan(before + 3_500_000);
  });

  it("sleeps, and wakes at once with the signal's own reason", async () => {
    const controller = new AbortController();
    const asleep = systemClock.sleep("1h", controller.signal);
    const reason = { why: "enough" };
    controller.abort(reason);
    await expect(asleep).rejects.toBe(reason);
    await expect(systemClock.sleep(1, controller.signal)).rejects.toBe(reason);
  });

  it("refuses durations that are none", () => {
    const clock = createSystemClock();
    for (const bad of [-1, NaN, Infinity, "5", "5 s", "", null, undefined, {}])
      expect(() => clock.setTimer(bad as number, () => {})).toThrow(/duration/);
  });
});
