import {
  circuitBreaker,
  circuitBreakers,
  consecutive,
  memoryCircuitStore,
  timeWindow,
} from "@holdfast/breaker";
import { leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

/** Bytes on the heap once all garbage is gone. */
function heap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

const CALLS = 1_000_000;

describe("a million calls", () => {
  it("leave the heap flat and nothing open: closed, open, shared, and by key", async () => {
    expect(globalThis.gc).toBeTypeOf("function");
    const closed = circuitBreaker({ trip: timeWindow() });
    const open = circuitBreaker({ trip: consecutive({ failures: 1 }), openFor: "1h" });
    await open.run(() => Promise.reject(new Error("down"))).catch(() => {});
    const share = { store: memoryCircuitStore() };
    const shared = circuitBreaker({ share });
    const keyed = circuitBreakers({ maxKeys: 100, share });
    const task = (): number => 1;
    const work = async (calls: number): Promise<void> => {
      for (let call = 0; call < calls; call += 1) await closed.run(task);
      for (let call = 0; call < calls / 10; call += 1) await open.run(task).catch(() => {});
      for (let call = 0; call < calls / 10; call += 1) await shared.run(task);
      for (let call = 0; call < calls / 10; call += 1) await keyed.for(`k${call}`).run(task);
    };
    await work(CALLS / 100);
    const leaks = leakCheck({ handles: true });
    const before = heap();
    await work(CALLS);
    expect(heap() - before).toBeLessThan(1_000_000);
    leaks.assertNone();
    expect(keyed.size).toBe(100);
  });
});
