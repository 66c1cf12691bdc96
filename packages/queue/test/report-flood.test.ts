// Handlers that have more to say than anybody can hear.
import type { TaskEvent } from "@holdfast/queue";
import { defineTask, handle } from "@holdfast/queue";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double", timeout: "1h" });
const chatter = defineTask<number, number, number>({ name: "chatter" });

describe("a flood of reports of one task", { timeout: 60_000 }, () => {
  it("[must-survive 37] becomes few writes and few events when it comes at once: of the progress, the latest counts", async () => {
    const { queue, store, work } = bench();
    let [writes, most] = [0, 0];
    const report = store.report.bind(store);
    store.report = (name, requests) => {
      writes += 1;
      most = Math.max(most, ...requests.map(({ reports }) => reports.length));
      return report(name, requests);
    };
    await using _ = work([
      handle(double, ({ input, progress }) => {
        for (let done = 1; done <= 100_000; done += 1) void progress(done);
        return input;
      }),
      handle(chatter, ({ input, log }) => {
        for (let line = 1; line <= 100_000; line += 1) void log(`${line}`);
        return input;
      }),
    ]);
    const quiet = await queue.enqueue(double, 1);
    await queue.wait(double, quiet.id);
    expect((await queue.status(quiet.id)).progress).toBe(100_000);
    expect([writes, most]).toEqual([expect.any(Number), 1]);
    expect(writes).toBeLessThanOrEqual(2);
    const loud = await queue.enqueue(chatter, 1);
    await queue.wait(chatter, loud.id);
    expect(most).toBe(1_000);
    const events: TaskEvent[] = [];
    for await (const event of queue.events(loud.id)) events.push(event);
    expect(events).toHaveLength(200);
    expect(events.at(-2)).toMatchObject({ type: "log", line: "100000" });
  });

  it("[must-survive 37] leaves the latest 200 events, and no memory of the others, when each report is awaited", async () => {
    const { queue, work } = bench();
    const grown: number[] = [];
    await using _ = work([
      handle(double, async ({ input, progress }) => {
        for (let done = 1; done <= 20_000; done += 1) {
          await progress({ done, text: "x".repeat(200) });
          if (done === 10_000 || done === 20_000)
            grown.push((globalThis.gc!(), process.memoryUsage().heapUsed));
        }
        return input;
      }),
    ]);
    const { id } = await queue.enqueue(double, 1);
    await queue.wait(double, id);
    const { lastSeq } = await queue.status(id);
    expect(lastSeq).toBe(20_003);
    const seqs: number[] = [];
    for await (const { seq } of queue.events(id)) seqs.push(seq);
    expect(seqs).toEqual(Array.from({ length: 200 }, (__, index) => lastSeq - 199 + index));
    // Of 10,000 values of 200 bytes and more.
    expect(grown[1]! - grown[0]!).toBeLessThan(1_500_000);
  });
});
