import { prometheus } from "@holdfast/core";
import { defineTask, handle, queueMetrics } from "@holdfast/queue";
import { faulty } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { bench, closed } from "./bench.ts";

const work = defineTask<number, number, number>({ name: "work", attempts: 1 });

describe("the metrics of queues", () => {
  it("count runs by how they ended, with their durations, and the failures of the store", async () => {
    const numbers = prometheus({ tables: [queueMetrics] });
    const plain = bench();
    const store = faulty(plain.store, {
      plan: ({ method, index }) => (method === "claim" && index < 3 ? { kind: "error" } : undefined),
      clock: plain.clock,
    });
    const at = bench({ store, clock: plain.clock });
    const working = at.work([
      handle(work, async ({ input }) => {
        await at.clock.sleep(2_000);
        if (input < 0) throw new Error("negative");
        return input;
      }),
    ]);
    await at.queue.enqueueMany(work, [{ input: 1 }, { input: 2 }, { input: -1 }]);
    await at.clock.advance("1m");
    await closed(working, at.clock);
    const lines = numbers.text().split("\n");
    numbers.close();
    const valueOf = (...parts: readonly string[]): string | undefined =>
      lines
        .find((line) => parts.every((part) => line.includes(part)))
        ?.split(" ")
        .at(-1);
    expect(valueOf("process_duration_seconds_count", 'settlement="complete"', 'written="true"')).toBe("2");
    // Times that begin after a drawn pause are fractions: their sum is 4 but for its last digit.
    const sum = valueOf("process_duration_seconds_sum", 'settlement="complete"', 'task="work"');
    expect(Number(sum)).toBeCloseTo(4, 9);
    expect(valueOf("process_duration_seconds_count", 'settlement="fail"')).toBe("1");
    expect(Number(valueOf("holdfast_queue_worker_errors", 'doing="claim"'))).toBeGreaterThan(0);
  });
});
