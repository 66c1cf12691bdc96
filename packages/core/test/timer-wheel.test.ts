import { describe, expect, it } from "vitest";
import { TimerWheel } from "../src/time/timer-wheel.ts";

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
});
