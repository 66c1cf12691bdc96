import type { ScheduledRequest, SchedulerEvent } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAIRNESS_QUANTUM_MS } from "../src/scheduler/tenants.ts";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

/** Device time by tenant, on one device that is never idle: each asks as much as it is allowed to. */
function shares(
  weights: readonly number[],
  ms: readonly number[],
  turns: number,
): { readonly used: number[]; readonly most: number } {
  const names = weights.map((_, index) => `t${index}`);
  const models = ms.map((perItemMs, index) => ({ key: `m${index}`, times: { perItemMs, fixedMs: 0 } }));
  const scheduler = new Scheduler<ScheduledRequest>({
    models,
    queueLimit: 10_000,
    weightOf: (tenant) => weights[Number(tenant.slice(1))]!,
  });
  const used = weights.map(() => 0);
  let now = 0;
  let id = 0;
  const ask = (tenant: number): void => {
    id += 1;
    // All want the same model: whose turn it is, is for the tenants' accounts to say.
    const request = { id, model: "m0", priority: tenant, deadline: Infinity, tenant: names[tenant]! };
    follow(scheduler.handle({ type: "request", request }, now));
  };
  let running: { id: number; tenant: number } | undefined;
  const follow = (commands: ReturnType<typeof scheduler.handle>): void => {
    for (const command of commands)
      if (command.type === "run") {
        const [request] = command.requests;
        running = { id: request!.id, tenant: names.indexOf(request!.tenant!) };
      }
  };
  follow(scheduler.handle({ type: "device-up", device: { id: "d", capacity: 1 } }, now));
  for (let tenant = 0; tenant < weights.length; tenant += 1)
    for (let more = 0; more < 3; more += 1) ask(tenant);
  for (let turn = 0; turn < turns && running !== undefined; turn += 1) {
    const { id: ended, tenant } = running;
    now += ms[0]!;
    used[tenant]! += ms[0]!;
    running = undefined;
    follow(scheduler.handle({ type: "done", id: ended }, now));
    ask(tenant);
  }
  return { used, most: ms[0]! };
}

/** One tenant, and the model that it alone asks for. */
interface Rival {
  readonly weight: number;
  readonly ms: number;
  readonly priority: number;
}

/**
 * How far tenants are apart in device time by weight at worst, each with models of its own, on devices that have all of
 * them and are never idle. Counted from the start of each batch.
 */
function farthestApart(rivals: readonly Rival[], devices: readonly number[], turns: number): number {
  const scheduler = new Scheduler<ScheduledRequest>({
    models: rivals.map(({ ms }, index) => ({ key: `m${index}`, times: { perItemMs: ms, fixedMs: 0 } })),
    queueLimit: 10_000,
    weightOf: (tenant) => rivals[Number(tenant)]!.weight,
  });
  const used = rivals.map(() => 0);
  const running: { readonly id: number; readonly tenant: number; readonly at: number }[] = [];
  let now = 0;
  let id = 0;
  let worst = 0;
  const tell = (event: SchedulerEvent<ScheduledRequest>): void => {
    for (const command of scheduler.handle(event, now)) {
      if (command.type !== "run") continue;
      const [request] = command.requests;
      const tenant = Number(request!.tenant);
      used[tenant]! += rivals[tenant]!.ms / rivals[tenant]!.weight;
      running.push({ id: request!.id, tenant, at: now + rivals[tenant]!.ms });
      worst = Math.max(worst, Math.max(...used) - Math.min(...used));
    }
  };
  const ask = (tenant: number): void => {
    id += 1;
    const { priority } = rivals[tenant]!;
    const request = { id, model: `m${tenant}`, priority, deadline: Infinity, tenant: String(tenant) };
    tell({ type: "request", request });
  };
  const slots = devices.reduce((sum, capacity) => sum + capacity, 0);
  for (const tenant of rivals.keys()) for (let more = 0; more <= slots; more += 1) ask(tenant);
  for (const [device, capacity] of devices.entries())
    tell({ type: "device-up", device: { id: `d${device}`, capacity } });
  for (let turn = 0; turn < turns; turn += 1) {
    running.sort((a, b) => a.at - b.at);
    const { id: ended, tenant, at } = running.shift()!;
    now = at;
    ask(tenant);
    tell({ type: "done", id: ended });
  }
  return worst;
}

describe("tenants with models of their own", () => {
  const rival = fc.record({
    weight: fc.integer({ min: 1, max: 4 }),
    ms: fc.integer({ min: 1, max: 80 }),
    priority: fc.integer({ min: -100, max: 100 }),
  });

  it("share the devices by weight, whatever their priorities, within the quantum and one batch", () => {
    fc.assert(
      fc.property(
        fc.array(rival, { minLength: 2, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
        (rivals, devices) => {
          const most = Math.max(...rivals.map(({ ms, weight }) => ms / weight));
          expect(farthestApart(rivals, devices, 400)).toBeLessThanOrEqual(FAIRNESS_QUANTUM_MS + most + 1e-6);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("go by priority among those whose turn it is", () => {
    const bench = new SchedulerBench({ models: ["a", "b", "c"].map((key) => ({ key })) });
    bench.ask(1, { model: "a", tenant: "x" });
    bench.ask(2, { model: "b", tenant: "y", priority: 2 });
    bench.ask(3, { model: "c", tenant: "z", priority: 1 });
    expect(told(bench.up("d", { capacity: 3 }))).toEqual(["run 2 on d", "run 3 on d", "run 1 on d"]);
  });
});

describe("tenants whose models take turns in the memory", () => {
  it("get the same device time, on devices whose batches overlap too", () => {
    const used = sharedMemory(2, 60_000);
    expect(Math.min(...used)).toBeGreaterThan(0.8 * Math.max(...used));
    expect(Math.min(...sharedMemory(1, 60_000))).toBeGreaterThan(20_000);
  });
});

/** Device time of two tenants within a time, on one device that can hold the model of one of them. */
function sharedMemory(capacity: number, forMs: number): readonly number[] {
  const ms = [50, 10];
  const bench = new SchedulerBench({
    models: ms.map((perItemMs, index) => ({
      key: `m${index}`,
      memoryBytes: 5,
      loadMs: 100,
      times: { perItemMs, fixedMs: 0 },
    })),
  });
  const used = [0, 0];
  let later: { readonly at: number; readonly happen: () => void }[] = [];
  let id = 0;
  const follow = (commands: ReturnType<SchedulerBench["ask"]>): void => {
    for (const one of commands) {
      if (one.type === "run") {
        const [request] = one.requests;
        const tenant = Number(request!.tenant);
        used[tenant]! += ms[tenant]!;
        const done = (): void => {
          ask(tenant);
          follow(bench.done(request!.id));
        };
        later.push({ at: bench.now + ms[tenant]!, happen: done });
      } else if (one.type === "load")
        later.push({ at: bench.now + 100, happen: () => follow(bench.says("loaded", "d", one.model)) });
      else if (one.type === "unload")
        later.push({ at: bench.now, happen: () => follow(bench.says("unloaded", "d", one.model)) });
    }
  };
  const ask = (tenant: number): void => {
    id += 1;
    follow(bench.ask(id, { model: `m${tenant}`, tenant: String(tenant), priority: tenant }));
  };
  follow(bench.up("d", { capacity, memoryBytes: 8, loaded: ["m0"] }));
  for (const tenant of [0, 1, 0, 1, 0, 1, 0, 1]) ask(tenant);
  while (bench.now < forMs) {
    later = later.toSorted((a, b) => a.at - b.at);
    const { at, happen } = later.shift()!;
    bench.now = at;
    happen();
  }
  return used;
}

/** Which of two tenants is served how often in so many turns, while both always have more. */
function turns(bench: SchedulerBench, count: number, tenants: readonly string[]): readonly number[] {
  const served = tenants.map(() => 0);
  for (let turn = 0; turn < count; turn += 1) {
    const [id] = bench.running[0]!.ids;
    bench.now += 10;
    bench.done(id!);
    served[Math.floor(bench.running[0]!.ids[0]! / 1_000) - 1]! += 1;
  }
  return served;
}

describe("the weight of a tenant", () => {
  const weightless = (weightOf: (tenant: string) => number): SchedulerBench => {
    const bench = new SchedulerBench({ weightOf });
    bench.up("d");
    bench.ask(1, { tenant: "good" });
    bench.ask(2, { tenant: "good" });
    return bench;
  };

  it("is asked for when a tenant comes, and not again while it waits", () => {
    const asked: string[] = [];
    const bench = weightless((tenant) => asked.push(tenant));
    bench.ask(3, { tenant: "good" });
    bench.ask(4, { tenant: "other" });
    for (const id of [1, 2, 3, 4]) bench.done(id);
    // The first ran at once, and nothing was left to remember.
    expect(asked).toEqual(["good", "good", "other"]);
  });

  it("that cannot be had, or is out of range, drops its request at once and touches nothing else", () => {
    const boom = (): never => {
      throw new Error("boom");
    };
    for (const answer of [boom, () => 0, () => -1, () => Number.NaN, () => Infinity, () => "2" as never]) {
      const bench = weightless((tenant) => (tenant === "bad" ? answer() : 1));
      const [drop, ...more] = bench.ask(3, { tenant: "bad" });
      expect(more).toEqual([]);
      expect(drop).toMatchObject({
        type: "drop",
        why: "invalid",
        cause: { code: "INVALID_OPTION", option: "tenantWeight" },
      });
      expect(String((drop as { cause?: unknown }).cause)).toMatch(/tenant "bad"; got/);
      expect([bench.scheduler.waiting, bench.scheduler.running]).toEqual([1, 1]);
      expect(told(bench.done(1))).toEqual(["run 2 on d"]);
    }
  });
});

describe("the ledger", () => {
  it("keeps nothing of tenants whose requests were refused or dropped", () => {
    const asked = new Map<string, number>();
    const bench = new SchedulerBench({
      queueLimit: 1,
      weightOf: (tenant) => {
        asked.set(tenant, (asked.get(tenant) ?? 0) + 1);
        return 1;
      },
    });
    bench.up("d");
    bench.now = 10;
    bench.ask(1, { tenant: "first" });
    expect(told(bench.ask(2, { tenant: "late", deadline: 5 }))).toEqual(["drop 2 deadline"]);
    bench.ask(3, { tenant: "second" });
    expect(told(bench.ask(4, { tenant: "refused" }))).toEqual(["refuse 4"]);
    // Whoever is known has been asked about; the ledger has nobody else.
    expect([...asked.keys()]).toEqual(["first", "second"]);
    bench.cancel(3);
    bench.ask(5, { tenant: "second" });
    // What was cancelled left nothing either: it is as new.
    expect(asked.get("second")).toBe(2);
  });
});

describe("what tenants are owed", () => {
  const times = { perItemMs: 10, fixedMs: 0 };

  it("grows not while they wait for what cannot run, nor for those who come later", () => {
    const models = [
      { key: "m@1", times },
      { key: "huge", memoryBytes: 100, times },
    ];
    const bench = new SchedulerBench({ models, queueLimit: 10_000 });
    bench.up("d", { memoryBytes: 10, loaded: ["m@1"] });
    bench.ask(1, { model: "huge", tenant: "stuck" });
    for (let id = 1_000; id < 2_000; id += 1) bench.ask(id, { tenant: "old" });
    expect(turns(bench, 500, ["old"])).toEqual([500]);
    for (let id = 2_000; id < 3_000; id += 1) bench.ask(id, { tenant: "new" });
    const [old, fresh] = turns(bench, 100, ["old", "new"]);
    expect(old).toBeGreaterThan(30);
    expect(fresh).toBeGreaterThan(30);
    // What it waited for runs at last, and more of it.
    for (let id = 3_000; id < 4_000; id += 1) bench.ask(id, { tenant: "stuck" });
    const after = turns(bench, 150, ["old", "new", "stuck"]);
    for (const share of after) expect(share).toBeGreaterThan(30);
  });

  it("is counted also of whoever has one request at a time", () => {
    const bench = new SchedulerBench({ models: [{ key: "m@1", times }], queueLimit: 10_000 });
    bench.up("d");
    bench.ask(999);
    for (let id = 2_000; id < 3_000; id += 1) bench.ask(id, { tenant: "x" });
    for (let id = 3_000; id < 4_000; id += 1) bench.ask(id, { tenant: "y" });
    const served = [0, 0, 0];
    let next = 1_000;
    bench.ask(next, { tenant: "single", priority: 100 });
    for (let turn = 0; turn < 300; turn += 1) {
      bench.now += 10;
      bench.done(bench.running[0]!.ids[0]!);
      const who = Math.floor(bench.running[0]!.ids[0]! / 1_000) - 1;
      served[who]! += 1;
      if (who !== 0) continue;
      next += 1;
      bench.ask(next, { tenant: "single", priority: 100 });
    }
    const [single, ...others] = served;
    expect(single).toBeLessThanOrEqual(Math.min(...others) + FAIRNESS_QUANTUM_MS / 10 + 1);
  });
});

describe("tenants", () => {
  it("share device time by weight, whatever their priorities, within the quantum and one batch", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        (weights, ms) => {
          const { used, most } = shares(weights, [ms], 600);
          const normal = used.map((one, index) => one / weights[index]!);
          const spread = Math.max(...normal) - Math.min(...normal);
          expect(spread).toBeLessThanOrEqual(FAIRNESS_QUANTUM_MS + 2 * most);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("[kthena#1771] keep the order of their own requests", () => {
    const bench = new SchedulerBench();
    bench.up("a");
    bench.ask(99);
    for (let id = 1; id <= 6; id += 1) bench.ask(id, { tenant: id % 2 === 0 ? "even" : "odd" });
    const order: number[] = [];
    for (let done = 99; order.length < 6; done = order.at(-1)!)
      for (const { ids } of [bench.running[0]!]) {
        expect(ids).toEqual([done]);
        bench.now += 10;
        bench.done(done);
        order.push(bench.running[0]!.ids[0]!);
      }
    expect(order.filter((id) => id % 2 === 0)).toEqual([2, 4, 6]);
    expect(order.filter((id) => id % 2 === 1)).toEqual([1, 3, 5]);
  });

  it("one that was idle is level with the others when it comes, neither ahead nor far behind", () => {
    const bench = new SchedulerBench({ models: [{ key: "m@1", times: { perItemMs: 50, fixedMs: 0 } }] });
    bench.up("a");
    for (let id = 1; id <= 20; id += 1) bench.ask(id, { tenant: "busy" });
    for (let id = 1; id <= 10; id += 1) {
      bench.now += 50;
      bench.done(id);
    }
    for (let id = 101; id <= 120; id += 1) bench.ask(id, { tenant: "late" });
    const served: string[] = [];
    for (let turn = 0; turn < 12; turn += 1) {
      const [id] = bench.running[0]!.ids;
      bench.now += 50;
      bench.done(id!);
      served.push(bench.running[0]!.ids[0]! > 100 ? "late" : "busy");
    }
    // It is served at once, but has not saved up ten turns.
    expect(served.filter((one) => one === "late").length).toBeGreaterThanOrEqual(5);
    expect(served.filter((one) => one === "busy").length).toBeGreaterThanOrEqual(4);
  });

  it("may fill no more of the queue than their share", () => {
    const bench = new SchedulerBench({ queueLimit: 10, tenantShare: 0.5 });
    bench.up("a");
    bench.ask(99);
    const lines = [1, 2, 3, 4, 5, 6].flatMap((id) => told(bench.ask(id, { tenant: "greedy" })));
    expect(lines).toEqual(["refuse 6"]);
    expect(told(bench.ask(7, { tenant: "modest" }))).toEqual([]);
  });
});

describe("aging", () => {
  it("[must-survive 42] a low priority is served although higher ones never cease", () => {
    const bench = new SchedulerBench({ agingMs: 100 });
    bench.up("a");
    bench.ask(0);
    bench.ask(1, { priority: -2 });
    let servedAt: number | undefined;
    for (let id = 2; id < 200 && servedAt === undefined; id += 1) {
      bench.ask(id, { priority: 1 });
      bench.now += 10;
      const [running] = bench.running[0]!.ids;
      bench.done(running!);
      if (bench.running[0]!.ids[0] === 1) servedAt = bench.now;
    }
    // Three levels below, so after three times the aging and what had come by then.
    expect(servedAt).toBeGreaterThan(300);
    expect(servedAt).toBeLessThanOrEqual(420);
  });

  it("a request without a deadline is served although those with one never cease", () => {
    const bench = new SchedulerBench({ agingMs: 100 });
    bench.up("a");
    bench.ask(0);
    bench.ask(1);
    let turn = 2;
    while (bench.running[0]!.ids[0] !== 1) {
      expect(turn).toBeLessThan(40);
      bench.ask(turn, { deadline: bench.now + 50 });
      bench.now += 10;
      bench.done(bench.running[0]!.ids[0]!);
      turn += 1;
    }
    expect(bench.now).toBeLessThanOrEqual(120);
  });
});
