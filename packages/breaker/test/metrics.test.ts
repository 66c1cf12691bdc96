import {
  adaptiveThrottle,
  breakerMetrics,
  bulkhead,
  circuitBreaker,
  consecutive,
  memoryCircuitStore,
} from "@holdfast/breaker";
import { prometheus } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

describe("breakerMetrics", () => {
  it("counts changes of state and of standing, refusals, and calls that are held back", async () => {
    using numbers = prometheus({ tables: [breakerMetrics] });
    const clock = manualClock();
    const breaker = circuitBreaker({ name: "db", trip: consecutive({ failures: 1 }), clock });
    await breaker.run(() => Promise.reject(new Error("down"))).catch(() => {});
    await breaker.run(() => 1).catch(() => {});
    const shared = circuitBreaker({ name: "api", clock, share: { store: memoryCircuitStore({ clock }) } });
    await shared.close();
    const one = bulkhead({ name: "mail", concurrent: 1, clock });
    void one.run(() => new Promise(() => {}));
    await one.run(() => 1).catch(() => {});
    const throttle = adaptiveThrottle({ name: "api", clock, random: () => 0 });
    const busy = Object.assign(new Error("busy"), { status: 503 });
    await throttle.run(() => Promise.reject(busy)).catch(() => {});
    await throttle.run(() => 1).catch(() => {});
    const lines = numbers
      .text()
      .split("\n")
      .filter((line) => line.startsWith("holdfast"));
    expect(lines).toEqual([
      'holdfast_breaker_changes_total{breaker="db",state="open",reason="tripped"} 1',
      'holdfast_breaker_refusals_total{breaker="db",state="open",enforced="true"} 1',
      'holdfast_breaker_share_changes_total{breaker="api",status="joined"} 1',
      'holdfast_breaker_share_changes_total{breaker="api",status="left"} 1',
      'holdfast_bulkhead_refusals_total{bulkhead="mail",reason="full"} 1',
      'holdfast_throttle_held_back_total{throttle="api"} 1',
    ]);
  });
});
