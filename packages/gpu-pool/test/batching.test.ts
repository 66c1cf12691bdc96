import type { ScheduledModel } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { BatchProfile } from "../src/scheduler/batch-profile.ts";
import { fullBatch, sizeToKeep, sizeToStart } from "../src/scheduler/batching.ts";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

const TIMES = { perItemMs: 1, fixedMs: 5 };

/** One device, and a model whose batches take 5 ms and 1 ms for each request. */
function bench(model: Partial<ScheduledModel> = {}): SchedulerBench {
  const made = new SchedulerBench({ models: [{ key: "m@1", maxBatch: 32, times: TIMES, ...model }] });
  made.up("a");
  return made;
}

describe("BatchProfile", () => {
  it("finds α and β from batches of different sizes", () => {
    const profile = new BatchProfile();
    for (const units of [1, 4, 9, 2]) profile.record(units, 1.5 * units + 7);
    expect([profile.perItemMs, profile.fixedMs]).toEqual([expect.closeTo(1.5, 6), expect.closeTo(7, 6)]);
    expect(profile.unitsWithin(7 + 1.5 * 10.5)).toBe(10);
  });

  it("takes the first batches for a line through zero, which promises too little rather than too much", () => {
    const profile = new BatchProfile();
    profile.record(2, 20);
    expect([profile.timeOf(1), profile.timeOf(4), profile.unitsWithin(35)]).toEqual([10, 40, 3]);
  });

  it("follows a device that becomes slower", () => {
    const profile = new BatchProfile(TIMES);
    for (let turn = 0; turn < 300; turn += 1) profile.record(1 + (turn % 8), 2 * (1 + (turn % 8)) + 10);
    expect(profile.perItemMs).toBeCloseTo(2, 1);
    expect(profile.fixedMs).toBeCloseTo(10, 0);
  });

  it("adds the 99th percentile of the last hundred deviations, and forgets those before", () => {
    const profile = new BatchProfile(TIMES);
    const record = (count: number, factor: number): void => {
      for (let turn = 0; turn < count; turn += 1) profile.record(1 + (turn % 8), (6 + (turn % 8)) * factor);
    };
    record(50, 1);
    profile.record(4, 18);
    expect(profile.margin).toBeCloseTo(2, 1);
    record(60, 1);
    // One outlier in a hundred is beyond the percentile.
    expect(profile.margin).toBeLessThan(1.1);
  });

  it("tries at most twice what has gone well, where nothing was said beforehand", () => {
    const profile = new BatchProfile();
    expect(profile.reach).toBe(1);
    profile.record(1, 10);
    profile.record(2, 11);
    expect(profile.reach).toBe(4);
    expect(new BatchProfile(TIMES).reach).toBe(Infinity);
  });
});

describe("sizes", () => {
  it("a full batch is Symphony's staggered size when all devices take turns", () => {
    const times = { perItemMs: 1.082, fixedMs: 5.204 };
    // ⌊(25 ÷ (1 + 1/8) − β) ÷ α⌋ = 15, at the rate of eight devices that run batches of 15.
    expect(fullBatch(times, 25, (8 * 15) / (1.082 * 15 + 5.204), 64)).toBe(15);
    expect(fullBatch(times, 25, 0.01, 64)).toBe(1);
    expect(fullBatch(times, 25, 1e9, 64)).toBe(18);
    expect(fullBatch(times, 25, 1e9, 8)).toBe(8);
  });

  it("batches fill while devices idle and load is low, and start half-way to full under pressure", () => {
    expect(sizeToStart(16, 4, { use: 0.5, scale: 0.2 }, 2, 1)).toBe(Infinity);
    expect(sizeToStart(16, 4, { use: 0.5, scale: 0.5 }, 1, 1)).toBe(12);
    expect(sizeToStart(16, 4, { use: 0.9, scale: 0.5 }, 2, 1)).toBe(12);
    // It shares a device with others.
    expect(sizeToStart(16, 0.9, { use: 0.9, scale: 0.5 }, 1, 1)).toBe(1);
    // The next device comes late: this one takes more along.
    expect(sizeToStart(16, 4, { use: 0.9, scale: 0.5 }, 1, 2)).toBeCloseTo(13.2);
  });

  it("nobody gives way to a batch that the load does not need", () => {
    expect(sizeToKeep(16, { use: 0.3, scale: 0.1 })).toBeCloseTo(1.6);
    expect(sizeToKeep(16, { use: 0.98, scale: 1 })).toBe(12);
    // Far beyond what can be done, only full batches are worth it.
    expect(sizeToKeep(16, { use: 2, scale: 1 })).toBe(16);
  });
});

describe("Scheduler, batching", () => {
  it(row(182, "runs the largest batch that meets the deadline of its head"), () => {
    const one = bench();
    one.ask(99);
    one.now = 1;
    for (let id = 1; id <= 20; id += 1) one.ask(id, { deadline: 21 });
    // 15 ms are left when the device is free: 5 for the batch and 9 for requests, the last moment not used up.
    one.now = 6;
    expect(told(one.done(99))).toEqual(["run 1,2,3,4,5,6,7,8,9 on a"]);
  });

  it("lets a batch fill until its head must start, and says when that is", () => {
    const one = bench();
    one.up("b");
    one.up("c");
    expect(told(one.ask(1, { deadline: 30 }))).toEqual([]);
    // One more could still come: 30 − (5 + 2). But it never waits for more than two batches take.
    const alone = one.scheduler.nextWake;
    expect(alone).toBeLessThanOrEqual(23);
    one.now = alone;
    expect(told(one.timer())).toEqual(["run 1 on a"]);
  });

  it("never lets a batch fill for longer than two batches take, however late the deadline", () => {
    const one = bench({ maxBatch: 4 });
    one.up("b");
    one.up("c");
    one.ask(1, { deadline: 60_000 });
    expect(one.scheduler.nextWake).toBeLessThanOrEqual(2 * 9);
  });

  it("starts what has no deadline at once", () => {
    const one = bench();
    expect(told(one.ask(1))).toEqual(["run 1 on a"]);
    one.ask(2);
    one.ask(3);
    expect(told(one.done(1))).toEqual(["run 2,3 on a"]);
  });

  it("in the simple mode, starts a batch when it is full or its oldest has waited for the delay", () => {
    const one = bench({ maxBatch: 3, maxDelayMs: 2 });
    expect(told(one.ask(1))).toEqual([]);
    expect(one.scheduler.nextWake).toBe(2);
    one.ask(2);
    expect(told(one.ask(3))).toEqual(["run 1,2,3 on a"]);
    one.done(1);
    one.done(2);
    one.done(3);
    one.now = 10;
    one.ask(4);
    one.now = 12;
    expect(told(one.timer())).toEqual(["run 4 on a"]);
  });

  it("counts a request by its size, and runs one alone that is larger than a batch", () => {
    const one = bench({ maxBatch: 4 });
    one.ask(99);
    one.ask(1, { size: 3 });
    one.ask(2, { size: 2 });
    one.ask(3, { size: 9 });
    expect(told(one.done(99))).toEqual(["run 1 on a"]);
    expect(told(one.done(1))).toEqual(["run 2 on a"]);
    expect(told(one.done(2))).toEqual(["run 3 on a"]);
  });

  it("drops the head of a crowd when it would spoil the batch for all behind it", () => {
    const one = bench();
    // Load: more than the device can do, at 20 ms each.
    let id = 1;
    const lost: string[] = [];
    for (let ms = 0; ms < 300; ms += 1) {
      one.now = ms;
      for (let more = 0; more < 2; more += 1) {
        for (const line of told(one.ask(id, { deadline: ms + 20 })))
          if (line.startsWith("drop")) lost.push(line);
        id += 1;
      }
      const [running] = [...runningIn(one)];
      if (running !== undefined && ms >= running.endsAt)
        for (const request of running.ids)
          for (const line of told(one.done(request))) if (line.startsWith("drop")) lost.push(line);
    }
    expect(lost.length).toBeGreaterThan(0);
  });

  it("[server#4023] halves batches that do not fit into memory, and runs all they held", () => {
    const one = bench({ maxBatch: 8 });
    one.ask(99);
    for (let id = 1; id <= 8; id += 1) one.ask(id);
    const [run] = one.done(99);
    expect(told([run!])).toEqual(["run 1,2,3,4,5,6,7,8 on a"]);
    const again = one.outOfMemory((run as { batch: number }).batch);
    expect(told(again)).toEqual(["run 1,2,3,4 on a"]);
    one.done(1);
    one.done(2);
    one.done(3);
    expect(told(one.done(4))).toEqual(["run 5,6,7,8 on a"]);
  });

  it("[server#4023] [server#1140] a request that does not fit even alone is tried once more, then fails by itself", () => {
    const one = bench();
    const [first] = one.ask(1);
    const [second] = one.outOfMemory((first as { batch: number }).batch);
    expect(told([second!])).toEqual(["run 1 on a"]);
    one.ask(2);
    expect(told(one.outOfMemory((second as { batch: number }).batch))).toEqual([
      "lost 1 out-of-memory",
      "run 2 on a",
    ]);
  });

  it("runs what was in a lost batch once more, each by itself, and gives up who takes its device down again", () => {
    const one = bench();
    one.ask(99);
    for (const id of [1, 2, 3]) one.ask(id);
    one.done(99);
    expect(told(one.down("a"))).toEqual([]);
    expect(told(one.up("a"))).toEqual(["run 1 on a"]);
    expect(told(one.done(1))).toEqual(["run 2 on a"]);
    expect(told(one.down("a"))).toEqual(["lost 2 device-down"]);
    expect(told(one.up("a"))).toEqual(["run 3 on a"]);
  });

  it("gives up whoever was there twice when its device went down, also where others ran beside it", () => {
    const one = bench();
    one.up("b", { capacity: 2 });
    one.ask(1);
    one.ask(2);
    one.ask(3);
    expect(told(one.down("a"))).toEqual(["lost 1 device-down"]);
    // Two ran side by side: nobody knows which it was, so both are tried once more.
    expect(told(one.down("b"))).toEqual([]);
    expect(told(one.up("b", { capacity: 2 }))).toEqual(["run 2 on b", "run 3 on b"]);
    expect(told(one.down("b"))).toEqual(["lost 2 device-down", "lost 3 device-down"]);
  });

  it("does not make a batch of one priority wait for, or give way to, a lower one", () => {
    const one = bench({ maxBatch: 2 });
    one.ask(99);
    one.ask(1);
    one.ask(2, { priority: 1, deadline: 1_000 });
    one.ask(3, { priority: 1, deadline: 1_000 });
    expect(told(one.done(99))).toEqual(["run 2,3 on a"]);
  });
});

/** What the bench's device runs, read from what it was told. */
function runningIn(one: SchedulerBench): { endsAt: number; ids: readonly number[] }[] {
  return one.running.map(({ ids, startedAt }) => ({ ids, endsAt: startedAt + 5 + ids.length }));
}
