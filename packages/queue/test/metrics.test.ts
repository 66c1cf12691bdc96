import { channel, prometheus } from "@holdfast/core";
import type { QueueMeasuredEvent, QueueMeasureFailedEvent } from "@holdfast/queue";
import { defineTask, handle, queueGauges, queueMetrics } from "@holdfast/queue";
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

  it("count steps by how they ended, with their durations", async () => {
    const numbers = prometheus({ tables: [queueMetrics] });
    const at = bench();
    const working = at.work([
      handle(work, async ({ step }) => {
        await step.run("slow", () => at.clock.sleep(500));
        return step.run("bad", () => Promise.reject(new Error("broken")));
      }),
    ]);
    await at.queue.enqueue(work, 1);
    await at.clock.advance("1s");
    await closed(working, at.clock);
    const labels = '{queue="bench",task="work",outcome=';
    const text = numbers.text();
    numbers.close();
    expect(text).toContain(`holdfast_queue_step_duration_seconds_sum${labels}"completed"} 0.5`);
    expect(text).toContain(`holdfast_queue_step_duration_seconds_count${labels}"failed"} 1`);
  });

  it("count what was added, and show how full a queue is while somebody looks", async () => {
    const numbers = prometheus({ tables: [queueMetrics] });
    const { queue, clock, store } = bench();
    const gauges = queueGauges(queue, { every: "10s" });
    await queue.enqueueMany(work, [{ input: 1 }, { input: 2, delay: "1h" }, { input: 3, dedupKey: "k" }]);
    await queue.enqueue(work, 4, { dedupKey: "k" });
    await clock.advance("10s");
    const lines = new Set(numbers.text().split("\n"));
    expect(lines).toContain('holdfast_queue_tasks_ready{queue="bench"} 2');
    expect(lines).toContain('holdfast_queue_tasks_scheduled{queue="bench"} 1');
    expect(lines).toContain('holdfast_queue_oldest_ready_age_seconds{queue="bench"} 10');
    expect([...lines].find((line) => line.startsWith("messaging_client_sent_messages_total"))).toMatch(/ 3$/);
    numbers.close();
    await gauges.close();
    await store.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("ask the store for nothing while nobody listens, and go on when it fails", async () => {
    const { queue, store, clock } = bench();
    let looks = 0;
    (store as { meter: unknown }).meter = () => Promise.reject(new Error(`down ${(looks += 1)}`));
    await using _ = queueGauges(queue, { every: "10s" });
    await clock.advance("1m");
    expect(looks).toBe(0);
    const failures: QueueMeasureFailedEvent[] = [];
    const stops = [
      channel<QueueMeasuredEvent>("queue", "measured").subscribe(() => {}),
      channel<QueueMeasureFailedEvent>("queue", "measure_failed").subscribe((event) => failures.push(event)),
    ];
    await clock.advance("30s");
    for (const stop of stops) stop();
    expect(failures.map(({ queue: name, error }) => [name, error.message])).toEqual([
      ["bench", "down 1"],
      ["bench", "down 2"],
      ["bench", "down 3"],
    ]);
  });
});
