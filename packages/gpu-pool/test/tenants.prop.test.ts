import type { ScheduledRequest } from "@holdfast/gpu-pool";
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
