import { describe, expect, it } from "vitest";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

describe("Scheduler", () => {
  it("starts the highest priority first, then the earliest deadline, then who came first", () => {
    const bench = new SchedulerBench();
    bench.ask(1);
    bench.ask(2, { deadline: 900 });
    bench.ask(3, { deadline: 500 });
    bench.ask(4, { priority: 1 });
    bench.ask(5);
    expect(told(bench.up("a", { capacity: 5 }))).toEqual([4, 3, 2, 1, 5].map((id) => `run ${id} on a`));
  });

  it("never gives a device more than it takes, and spreads over the least loaded", () => {
    const bench = new SchedulerBench();
    bench.up("a", { capacity: 2 });
    bench.up("b", { capacity: 1 });
    expect([1, 2, 3, 4].flatMap((id) => told(bench.ask(id)))).toEqual([
      "run 1 on a",
      "run 2 on b",
      "run 3 on a",
    ]);
    expect(told(bench.done(2))).toEqual(["run 4 on b"]);
  });

  it("takes the first of the devices that idle, so that what is not needed stays idle", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.up("b");
    bench.ask(1);
    bench.done(1);
    expect(told(bench.ask(2))).toEqual(["run 2 on a"]);
    expect(told(bench.ask(3))).toEqual(["run 3 on b"]);
  });

  it("refuses a request at once when its deadline has passed", () => {
    const bench = new SchedulerBench();
    bench.now = 100;
    expect(told(bench.ask(1, { deadline: 100 }))).toEqual(["drop 1 deadline"]);
  });

  it("drops a waiting request as soon as it cannot end in time, by the fastest its model has run", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.ask(1);
    bench.now = 100;
    bench.done(1);
    bench.ask(2);
    bench.ask(3, { deadline: 250 });
    expect(bench.scheduler.nextWake).toBe(150);
    bench.now = 149;
    expect(told(bench.timer())).toEqual([]);
    bench.now = 150;
    expect(told(bench.timer())).toEqual(["drop 3 deadline"]);
    expect(bench.scheduler.nextWake).toBe(Infinity);
  });

  it("waits longer with a drop once a model turns out to be faster", () => {
    const bench = new SchedulerBench();
    bench.up("a", { capacity: 2 });
    bench.ask(1);
    bench.ask(2);
    bench.now = 100;
    bench.done(1);
    bench.ask(3);
    bench.ask(4, { deadline: 300 });
    expect(bench.scheduler.nextWake).toBe(200);
    bench.now = 120;
    bench.done(3);
    bench.ask(5);
    // 4 runs now; 6 waits, and may as long as 20 ms are left.
    bench.ask(6, { deadline: 300 });
    bench.now = 279;
    expect(told(bench.timer())).toEqual([]);
  });

  it("[server#7512] [core PR#333] stops a running request the moment its deadline passes, and keeps its place until it is done", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.ask(1, { deadline: 90 });
    bench.ask(2);
    expect(bench.scheduler.nextWake).toBe(90);
    bench.now = 90;
    expect(told(bench.timer())).toEqual(["stop 1 deadline"]);
    expect(told(bench.timer())).toEqual([]);
    expect(told(bench.done(1))).toEqual(["run 2 on a"]);
  });

  it("learns nothing about a model from a request that was stopped", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.ask(1, { deadline: 10 });
    bench.now = 10;
    bench.timer();
    bench.done(1);
    expect(bench.scheduler.backlogMs).toBe(0);
    bench.ask(2);
    bench.ask(3, { deadline: 60 });
    expect([bench.scheduler.backlogMs, bench.scheduler.nextWake]).toEqual([0, 60]);
  });

  it("[server#8030] [server#4618] lets a cancelled request leave the queue at once", () => {
    const bench = new SchedulerBench();
    bench.ask(1);
    expect(told(bench.cancel(1))).toEqual(["drop 1 cancelled"]);
    expect(told(bench.cancel(1))).toEqual([]);
    expect(bench.scheduler.waiting).toBe(0);
  });

  it("[ik_llama.cpp#1929] a waiting request that is cancelled spares those that run", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.ask(1);
    bench.ask(2);
    expect(told(bench.cancel(2))).toEqual(["drop 2 cancelled"]);
    expect(bench.scheduler.running).toBe(1);
  });

  it("[server#6796] refuses exactly what is beyond its limit, with the time its backlog takes", () => {
    const bench = new SchedulerBench({ queueLimit: 2 });
    bench.up("a");
    bench.ask(1);
    bench.now = 4_000;
    bench.done(1);
    expect([2, 3, 4, 5].flatMap((id) => told(bench.ask(id)))).toEqual(["run 2 on a", "refuse 5"]);
    // One runs and two wait, at 4 s each on one device.
    expect(bench.ask(6)).toMatchObject([{ type: "refuse", waiting: 2, retryAfterMs: 12_000 }]);
    bench.done(2);
    expect(told(bench.ask(7))).toEqual([]);
  });

  it("takes what can start at once even when nothing may wait", () => {
    const bench = new SchedulerBench({ queueLimit: 0 });
    expect(told(bench.ask(1))).toEqual(["refuse 1"]);
    bench.up("a");
    expect(told(bench.ask(2))).toEqual(["run 2 on a"]);
    expect(told(bench.ask(3))).toEqual(["refuse 3"]);
  });

  it("[pytorch/serve#2333] a model whose devices are busy takes no room from one whose device is free", () => {
    const bench = new SchedulerBench({ queueLimit: 2, models: [{ key: "a" }, { key: "b" }] });
    bench.up("A", { loaded: ["a"] });
    bench.up("B", { loaded: ["b"] });
    for (const id of [1, 2, 3]) bench.ask(id, { model: "a" });
    expect(told(bench.ask(4, { model: "a" }))).toEqual(["refuse 4"]);
    expect(told(bench.ask(5, { model: "b" }))).toEqual(["run 5 on B"]);
    expect(told(bench.ask(6, { model: "b" }))).toEqual(["refuse 6"]);
  });

  it("takes nothing beyond its limit that would wait for its batch to fill", () => {
    const times = { perItemMs: 1, fixedMs: 1 };
    const models = [{ key: "m@1", maxBatch: 8, times, maxDelayMs: 50 }];
    const bench = new SchedulerBench({ queueLimit: 0, models });
    bench.up("A");
    bench.up("B");
    expect(told(bench.ask(1, { size: 8 }))).toEqual(["run 1 on A"]);
    expect(told(bench.ask(2))).toEqual(["refuse 2"]);
  });

  it("[pytorch/serve#2322] a model has a limit of its own: whichever is met first is named", () => {
    const bench = new SchedulerBench({
      queueLimit: 3,
      tenantShare: 0.7,
      models: [{ key: "small", queueLimit: 1 }, { key: "m@1" }],
    });
    const asked = (id: number, model: string, tenant: string): unknown => bench.ask(id, { model, tenant })[0];
    expect(asked(1, "small", "x")).toBeUndefined();
    expect(asked(2, "small", "y")).toMatchObject({ type: "refuse", limit: "model", waiting: 1 });
    expect(asked(3, "m@1", "x")).toBeUndefined();
    expect(asked(4, "m@1", "x")).toMatchObject({ type: "refuse", limit: "tenant", waiting: 2 });
    expect(asked(5, "m@1", "y")).toBeUndefined();
    expect(asked(6, "m@1", "y")).toMatchObject({ type: "refuse", limit: "pool", waiting: 3 });
  });

  it("names what was lost with a device, and nothing else", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.up("b");
    for (const id of [1, 2, 3]) bench.ask(id);
    expect(told(bench.down("a"))).toEqual(["lost 1 device-down"]);
    expect([bench.scheduler.running, bench.scheduler.waiting, bench.scheduler.capacity]).toEqual([1, 1, 1]);
    expect(told(bench.down("a"))).toEqual([]);
    expect(told(bench.up("a"))).toEqual(["run 3 on a"]);
  });
});
