import { describe, expect, it } from "vitest";
import type { WheelTimer } from "../src/time/timer-wheel.ts";
import { TimerWheel } from "../src/time/timer-wheel.ts";

const nothing = (): void => {};
const dues = (timers: readonly WheelTimer[]): number[] => timers.map((timer) => timer.due);

describe("TimerWheel", () => {
  it("hands out timers in the order they are due, across levels", () => {
    const wheel = new TimerWheel(0);
    const fired: number[] = [];
    for (const due of [1, 63, 64, 65, 4095, 4096, 300_000, 20_000_000, 2 ** 33]) {
      wheel.add(due, () => fired.push(due), false);
    }
    for (let now = 0; wheel.size > 0; now = wheel.nextTick()) {
      for (const timer of wheel.advance(now)) {
        expect(timer.due).toBe(now);
        timer.callback();
      }
    }
    expect(fired).toEqual([1, 63, 64, 65, 4095, 4096, 300_000, 20_000_000, 2 ** 33]);
  });

  it("does not pass over a timer whose slot begins at the tick where a coarser slot begins", () => {
    const wheel = new TimerWheel(0);
    wheel.add(70, nothing, false);
    wheel.advance(10);
    wheel.add(64, nothing, false);
    expect(dues(wheel.advance(100))).toEqual([64, 70]);
  });

  it("hands out timers of one tick in the order they were added, even when one came down from a coarser level", () => {
    const wheel = new TimerWheel(0);
    const first = wheel.add(100, nothing, false);
    wheel.advance(50);
    const second = wheel.add(100, nothing, false);
    expect(wheel.advance(100)).toEqual([first, second]);
  });

  it("fires a timer that was due already at the next tick", () => {
    const wheel = new TimerWheel(1_000);
    wheel.add(5, nothing, false);
    expect(wheel.advance(1_000)).toEqual([]);
    expect(dues(wheel.advance(1_001))).toEqual([1_001]);
  });

  it("keeps a timer beyond the last level's 139 years", () => {
    const wheel = new TimerWheel(12_345);
    const due = 3 * 64 ** 7 + 17;
    wheel.add(due, nothing, false);
    expect(wheel.advance(due - 1)).toEqual([]);
    expect(wheel.size).toBe(1);
    expect(dues(wheel.advance(due))).toEqual([due]);
  });

  it("lets a timer that has been handed out be cancelled before it is taken", () => {
    const wheel = new TimerWheel(0);
    wheel.add(5, nothing, true);
    wheel.add(5, nothing, true);
    const [first, second] = wheel.advance(5);
    expect(first?.take()).toBe(true);
    second?.cancel();
    expect(second?.take()).toBe(false);
    expect([wheel.size, wheel.keepAliveCount]).toEqual([0, 0]);
  });

  it("counts timers, and those that keep the process alive, through adding, cancelling twice and firing", () => {
    const wheel = new TimerWheel(0);
    const kept = wheel.add(5, nothing, true);
    wheel.add(500, nothing, true);
    wheel.add(500, nothing, false);
    expect([wheel.size, wheel.keepAliveCount]).toEqual([3, 2]);
    kept.cancel();
    kept.cancel();
    expect([wheel.size, wheel.keepAliveCount]).toEqual([2, 1]);
    const due = wheel.advance(500);
    for (const timer of due) timer.cancel();
    expect([wheel.size, wheel.keepAliveCount]).toEqual([0, 0]);
    expect(wheel.nextTick()).toBe(Infinity);
  });
});
