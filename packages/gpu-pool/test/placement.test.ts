import type { ScheduledModel } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

const model = (key: string, memoryBytes = 4, more: Partial<ScheduledModel> = {}): ScheduledModel => ({
  key,
  memoryBytes,
  loadMs: 100,
  ...more,
});

function bench(models: readonly ScheduledModel[]): SchedulerBench {
  return new SchedulerBench({ models });
}

describe("Scheduler, placement", () => {
  it("[ray#35911] loads a cold model on the emptiest device, once, and runs what waited for it", () => {
    const one = bench([model("m@1"), model("n", 4)]);
    one.up("a", { memoryBytes: 8, loaded: ["n"] });
    one.up("b", { memoryBytes: 8, loaded: [] });
    expect(told(one.ask(1))).toEqual(["load m@1 on b"]);
    expect(told(one.ask(2))).toEqual([]);
    expect(told(one.says("loaded", "b", "m@1"))).toEqual(["run 1 on b"]);
    expect(told(one.done(1))).toEqual(["run 2 on b"]);
  });

  it("[modelmesh-serving#396] never loads past what is free, also when less is free than was thought", () => {
    const one = bench([model("m@1"), model("n")]);
    one.up("a", { memoryBytes: 8, loaded: [] });
    one.ask(1);
    one.says("loaded", "a", "m@1");
    one.measures("a", 3);
    // n would have fitted by the books. The model that is in use is not put out for it either.
    expect(told(one.ask(2, { model: "n" }))).toEqual([]);
    expect(told(one.done(1))).toEqual(["unload m@1 on a"]);
    expect(told(one.says("unloaded", "a", "m@1"))).toEqual(["load n on a"]);
  });

  it("believes that memory which others took has come back, and loads what waited for it", () => {
    const one = bench([model("m@1", 6)]);
    one.up("a", { memoryBytes: 8, loaded: [] });
    expect(told(one.measures("a", 3))).toEqual([]);
    expect(one.memory("a")).toEqual([3, 5]);
    expect(told(one.ask(1))).toEqual([]);
    expect(told(one.measures("a", 5))).toEqual([]);
    expect(told(one.measures("a", 8))).toEqual(["load m@1 on a"]);
    expect(one.memory("a")).toEqual([2, 0]);
  });

  it.each([8, 6, 4])("counts a load once, whether it has taken nothing yet, half or all: %i free", (free) => {
    const one = bench([model("m@1", 4), model("n", 4)]);
    one.up("a", { memoryBytes: 8, loaded: [] });
    one.ask(1);
    one.measures("a", free);
    expect(one.memory("a")).toEqual([4, 0]);
    // And so the other one fits beside it.
    expect(told(one.ask(2, { model: "n" }))).toEqual(["load n on a"]);
    one.says("loaded", "a", "m@1");
    one.measures("a", 2);
    expect(one.memory("a")).toEqual([0, 0]);
  });

  it("counts an unload once, and what others have while something moves", () => {
    const one = bench([model("m@1", 4), model("n", 3)]);
    one.up("a", { memoryBytes: 4, loaded: ["n"] });
    expect(told(one.ask(1))).toEqual(["unload n on a"]);
    one.measures("a", 4);
    expect(one.scheduler.freeBytes("a")).toBe(1);
    one.measures("a", 1);
    expect(one.memory("a")).toEqual([1, 0]);
    // More is missing than what may not have been unloaded yet.
    one.measures("a", 0);
    expect(one.memory("a")).toEqual([0, 1]);
    expect(told(one.says("unloaded", "a", "n"))).toEqual([]);
    expect(told(one.measures("a", 4))).toEqual(["load m@1 on a"]);
  });

  it("forgets nothing of what others have while a load is under way", () => {
    const one = bench([model("m@1", 4), model("n", 6)]);
    one.up("a", { memoryBytes: 12, loaded: [] });
    one.measures("a", 8);
    one.ask(1);
    one.measures("a", 8);
    expect(one.memory("a")).toEqual([4, 4]);
    expect(told(one.ask(2, { model: "n" }))).toEqual([]);
  });

  it("holds a device whose memory nobody has said to what was measured", () => {
    const one = bench([model("m@1", 4), model("n", 4)]);
    one.up("a", { loaded: [] });
    one.measures("a", 5);
    expect(told(one.ask(1))).toEqual(["load m@1 on a"]);
    expect(told(one.ask(2, { model: "n" }))).toEqual([]);
    one.says("loaded", "a", "m@1");
    expect(told(one.measures("a", 4))).toEqual(["load n on a"]);
  });

  it("[server#3583] [must-survive 40] evicts what costs least to miss: reload time by rate by size, never what is in use", () => {
    const one = bench([model("m@1", 4, { loadMs: 500 }), model("rare"), model("used"), model("new", 4)]);
    one.up("a", { memoryBytes: 12, loaded: ["m@1", "rare", "used"], capacity: 4 });
    for (let id = 1; id <= 5; id += 1) {
      one.ask(id);
      one.done(id);
    }
    one.ask(6, { model: "rare" });
    one.done(6);
    one.ask(7, { model: "used" });
    expect(told(one.ask(8, { model: "new" }))).toEqual(["unload rare on a"]);
    expect(told(one.says("unloaded", "a", "rare"))).toEqual(["load new on a"]);
  });

  it("[ollama#17408] a model that is wanted again while it is evicted is loaded again, and nothing hangs", () => {
    const one = bench([model("m@1"), model("n")]);
    one.up("a", { memoryBytes: 4, loaded: ["n"] });
    expect(told(one.ask(1))).toEqual(["unload n on a"]);
    expect(told(one.ask(2, { model: "n" }))).toEqual([]);
    expect(told(one.says("unloaded", "a", "n"))).toEqual(["load m@1 on a"]);
    one.now = 100;
    expect(told(one.says("loaded", "a", "m@1"))).toEqual(["run 1 on a"]);
    // Nobody waits for m any more: n takes its place.
    expect(told(one.done(1))).toEqual(["unload m@1 on a"]);
    expect(told(one.says("unloaded", "a", "m@1"))).toEqual(["load n on a"]);
    expect(told(one.says("loaded", "a", "n"))).toEqual(["run 2 on a"]);
  });

  it("[ollama#5724] a swap does not hold up the models that stay", () => {
    const one = bench([model("m@1"), model("n"), model("stays")]);
    one.up("a", { memoryBytes: 8, loaded: ["n", "stays"] });
    expect(told(one.ask(1))).toEqual(["unload n on a"]);
    expect(told(one.ask(2, { model: "stays" }))).toEqual(["run 2 on a"]);
    expect(told(one.says("unloaded", "a", "n"))).toEqual(["load m@1 on a"]);
    one.done(2);
    expect(told(one.ask(3, { model: "stays" }))).toEqual(["run 3 on a"]);
  });

  it("[ollama#11997] knows that the memory of a device that went down is free", () => {
    const one = bench([model("m@1"), model("n")]);
    one.up("a", { memoryBytes: 4, loaded: ["n"] });
    one.down("a");
    one.up("a", { memoryBytes: 4, loaded: [] });
    expect(told(one.ask(1))).toEqual(["load m@1 on a"]);
  });

  it("[server#3320] [server#2023] a thousand loads and unloads leave the books as they were", () => {
    const one = bench([model("m@1"), model("n")]);
    one.up("a", { memoryBytes: 4, loaded: ["n"] });
    for (let turn = 0; turn < 1_000; turn += 1) {
      const [wanted, other] = turn % 2 === 0 ? ["m@1", "n"] : ["n", "m@1"];
      one.now += 1_000;
      expect(told(one.ask(turn, { model: wanted! }))).toEqual([`unload ${other} on a`]);
      expect(told(one.says("unloaded", "a", other!))).toEqual([`load ${wanted} on a`]);
      expect(told(one.says("loaded", "a", wanted!))).toEqual([`run ${turn} on a`]);
      one.done(turn);
    }
    expect([one.scheduler.waiting, one.scheduler.running]).toEqual([0, 0]);
  });

  it("[ray#65691] gives a hot model another device, and not for a moment's crowd", () => {
    const one = bench([model("m@1", 4, { times: { perItemMs: 20, fixedMs: 0 } }), model("n")]);
    one.up("a", { memoryBytes: 8, loaded: ["m@1"] });
    one.up("b", { memoryBytes: 8, loaded: [] });
    const loads: string[] = [];
    const note = (lines: readonly string[]): void =>
      void loads.push(...lines.filter((line) => line.startsWith("load")));
    // Half of what one device can do: it stays one.
    for (let id = 0; id < 100; id += 1) {
      note(told(one.ask(id)));
      one.now += 20;
      note(told(one.done(id)));
      one.now += 20;
    }
    expect(loads).toEqual([]);
    // Twice of it.
    for (let id = 1_000; id < 1_080; id += 1) {
      note(told(one.ask(id)));
      one.now += 10;
      if (id % 2 === 0) for (const { ids } of one.running) note(told(one.done(ids[0]!)));
    }
    expect(loads).toEqual(["load m@1 on b"]);
  });

  it("tries a load that failed on another device, and gives the model up after three", () => {
    const one = bench([model("m@1")]);
    one.up("a", { memoryBytes: 8, loaded: [] });
    one.up("b", { memoryBytes: 8, loaded: [] });
    expect(told(one.ask(1))).toEqual(["load m@1 on a"]);
    expect(told(one.says("load-failed", "a", "m@1"))).toEqual(["load m@1 on b"]);
    // No device is left until they have cooled down.
    expect(told(one.says("load-failed", "b", "m@1"))).toEqual([]);
    one.now = 4_000;
    expect(told(one.up("c", { memoryBytes: 8, loaded: [] }))).toEqual(["load m@1 on c"]);
    expect(told(one.says("load-failed", "c", "m@1"))).toEqual(["drop 1 unloadable"]);
  });

  it("takes nothing more on a device that is drained, and lets it end what it runs", () => {
    const one = bench([model("m@1")]);
    one.up("a");
    one.ask(1);
    one.scheduler.handle({ type: "device-drain", device: "a" }, 0);
    expect(told(one.ask(2))).toEqual([]);
    expect(told(one.done(1))).toEqual([]);
    expect(told(one.up("b"))).toEqual(["run 2 on b"]);
  });

  it("sends requests with one affinity key where the last of them ran, while there is room", () => {
    const one = bench([model("m@1")]);
    one.up("a");
    one.up("b");
    one.ask(1);
    one.ask(2, { affinity: "session" });
    one.done(1);
    one.done(2);
    expect(told(one.ask(3, { affinity: "session" }))).toEqual(["run 3 on b"]);
    // A preference, not a condition.
    expect(told(one.ask(4, { affinity: "session" }))).toEqual(["run 4 on a"]);
  });
});

describe("Scheduler, devices of different types", () => {
  const mixed = (): SchedulerBench => {
    const one = bench([model("m@1", 0)]);
    one.up("gpu", { type: "gpu" });
    one.ask(1);
    one.now = 10;
    one.done(1);
    one.up("cpu", { type: "cpu" });
    // It has been seen: the CPU takes 100 ms.
    one.ask(2);
    one.ask(3);
    one.now = 20;
    one.done(2);
    one.now = 110;
    one.done(3);
    return one;
  };

  it("keeps to the quick ones while waiting for them is quicker", () => {
    const one = mixed();
    expect(told(one.ask(4))).toEqual(["run 4 on gpu"]);
    expect(told(one.ask(5))).toEqual([]);
    expect(told(one.done(4))).toEqual(["run 5 on gpu"]);
  });

  it(
    row(185, "spills to the slow ones once that is quicker than to wait, and the deadline allows it"),
    () => {
      const one = mixed();
      one.ask(4);
      const lines: string[] = [];
      for (let id = 5; id < 40; id += 1) lines.push(...told(one.ask(id)));
      expect(lines).toContain("run 5 on cpu");
    },
  );

  it("a session that was once spilled goes back to the quick ones when they are free", () => {
    const one = mixed();
    one.ask(4);
    const lines: string[] = [];
    for (let id = 5; id < 40; id += 1) lines.push(...told(one.ask(id, { affinity: `session ${id}` })));
    expect(lines).toContain("run 5 on cpu");
    while (one.running.length > 0) {
      one.now += 10;
      const ids = one.running.flatMap((batch) => batch.ids);
      one.done(ids.find((id) => id !== 5) ?? 5);
    }
    expect(told(one.ask(50, { affinity: "session 5", deadline: one.now + 50 }))).toEqual(["run 50 on gpu"]);
  });

  it("runs on the slow ones what nothing else has loaded", () => {
    const one = mixed();
    one.down("gpu");
    expect(told(one.ask(4))).toEqual(["run 4 on cpu"]);
  });
});

describe("Scheduler, devices of different costs", () => {
  /** A GPU takes 10 ms, a CPU 50, a server elsewhere 30: each has been seen to. */
  const tiers = (): SchedulerBench => {
    const one = bench([model("m@1", 0)]);
    const kinds = { gpu: { cost: 1, ms: 10 }, cpu: { cost: 2, ms: 50 }, remote: { cost: 9, ms: 30 } };
    let id = 1_000;
    for (const [type, { cost, ms }] of Object.entries(kinds)) {
      one.up(type, { type, cost });
      one.ask((id += 1));
      one.now += ms;
      one.done(id);
      one.down(type);
    }
    for (const [type, { cost }] of Object.entries(kinds)) one.up(type, { type, cost });
    return one;
  };
  /** So many requests at once, and where each was sent. */
  const burst = (one: SchedulerBench, count: number, within: number): readonly string[] => {
    const lines: string[] = [];
    for (let id = 1; id <= count; id += 1) lines.push(...told(one.ask(id, { deadline: one.now + within })));
    return lines;
  };

  it(
    row(185, "spills from the GPU to the CPU and from there to a server elsewhere, as deadlines ask for it"),
    () => {
      const one = tiers();
      expect(burst(one, 20, 100)).toEqual([
        "run 1 on gpu",
        expect.stringMatching(/ on cpu$/),
        expect.stringMatching(/ on remote$/),
      ]);
    },
  );

  it("keeps to the cheapest while what waits would end in time there", () => {
    expect(burst(tiers(), 5, 400)).toEqual(["run 1 on gpu"]);
    expect(burst(tiers(), 30, Infinity)).toEqual(["run 1 on gpu"]);
  });

  it("sends nothing to a dearer one that would be too late there too", () => {
    const lines = burst(tiers(), 20, 40);
    expect(lines.filter((line) => line.endsWith("on cpu"))).toEqual([]);
    expect(lines.filter((line) => line.endsWith("on remote"))).toHaveLength(1);
  });

  it("uses a dearer one as any other while there is no cheaper one", () => {
    const one = tiers();
    one.down("gpu");
    one.down("cpu");
    expect(burst(one, 1, Infinity)).toEqual(["run 1 on remote"]);
  });

  /** What is told by timers alone, and how long after. */
  const byTimers = (one: SchedulerBench): readonly [afterMs: number, lines: readonly string[]] => {
    const from = one.now;
    const lines: string[] = [];
    while (lines.length === 0) {
      one.now = one.scheduler.nextWake;
      lines.push(...told(one.timer()));
    }
    return [one.now - from, lines];
  };

  it("takes a dearer one as soon as its turn on the cheaper ones would come too late, though nothing else happens", () => {
    const one = tiers();
    one.down("cpu");
    expect(told(one.ask(1))).toEqual(["run 1 on gpu"]);
    expect(told(one.ask(2, { deadline: one.now + 60 }))).toEqual([]);
    const [afterMs, lines] = byTimers(one);
    expect(lines).toEqual(["run 2 on remote"]);
    expect(afterMs).toBeGreaterThan(0);
    expect(afterMs).toBeLessThan(30);
  });

  it("takes a dearer one in its last moment if what runs on the cheaper ones is late", () => {
    const timesByType = { gpu: { perItemMs: 10, fixedMs: 0 }, cpu: { perItemMs: 50, fixedMs: 0 } };
    const one = bench([model("m@1", 0, { timesByType })]);
    one.up("gpu", { type: "gpu", cost: 1 });
    one.up("cpu", { type: "cpu", cost: 2 });
    one.ask(1);
    one.now = 10;
    one.done(1);
    expect(told(one.ask(2))).toEqual(["run 2 on gpu"]);
    expect(told(one.ask(3, { deadline: one.now + 100 }))).toEqual([]);
    expect(byTimers(one)).toEqual([45, ["run 3 on cpu"]]);
  });

  it("goes back to the cheapest once less waits", () => {
    const one = tiers();
    burst(one, 6, 100);
    for (let rounds = 0; rounds < 20; rounds += 1) {
      one.now += 10;
      for (const { ids } of one.running) for (const id of ids) one.done(id);
    }
    expect(told(one.ask(100, { deadline: one.now + 100 }))).toEqual(["run 100 on gpu"]);
  });
});

describe("Scheduler, leases", () => {
  it("[server#3583] [server#7279] keeps a model loaded that somebody holds, and loads one that is not there", () => {
    const one = bench([model("m@1"), model("n")]);
    const tell = one.scheduler;
    one.up("a", { memoryBytes: 4, loaded: ["n"] });
    expect(told(tell.handle({ type: "acquire", lease: 1, model: "n" }, 0))).toEqual(["granted 1 on a"]);
    expect(told(one.ask(1))).toEqual([]);
    expect(told(tell.handle({ type: "release", lease: 1 }, 0))).toEqual(["unload n on a"]);
    one.says("unloaded", "a", "n");
    one.says("loaded", "a", "m@1");
    one.done(1);
    expect(told(tell.handle({ type: "acquire", lease: 2, model: "n" }, 0))).toEqual(["unload m@1 on a"]);
    expect(told(one.says("unloaded", "a", "m@1"))).toEqual(["load n on a"]);
    expect(told(one.says("loaded", "a", "n"))).toEqual(["granted 2 on a"]);
  });

  it("tells the holder when the device goes down, and forgets a lease that is given back twice", () => {
    const one = bench([model("m@1")]);
    one.up("a");
    one.scheduler.handle({ type: "acquire", lease: 1, model: "m@1" }, 0);
    expect(told(one.down("a"))).toEqual(["revoked 1 on a"]);
    expect(told(one.scheduler.handle({ type: "release", lease: 1 }, 0))).toEqual([]);
    expect(told(one.scheduler.handle({ type: "release", lease: 1 }, 0))).toEqual([]);
  });
});
