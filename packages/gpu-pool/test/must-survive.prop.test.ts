// What a pool must survive, by its rows: a crowd that only slower devices can thin out, and requests that are large.
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SchedulerBench, told } from "./fixtures/scheduler-bench.ts";

const SPEED = { gpu: 10, cpu: 60 } as const;
const WITHIN_MS = 200;

/** How many of a crowd end in time: one model, a request at a time, devices that take as long as their types do. */
function answeredInTime(types: readonly (keyof typeof SPEED)[], gaps: readonly number[]): number {
  const scheduler = new Scheduler<ScheduledRequest>({ models: [{ key: "m" }], queueLimit: 1_000 });
  const typeOf = new Map(types.map((type, index) => [`${type}-${index}`, type]));
  const ends: { readonly at: number; readonly request: ScheduledRequest }[] = [];
  let now = 0;
  let good = 0;
  let asked = 0;
  const tell = (event: SchedulerEvent<ScheduledRequest>): void => {
    for (const command of scheduler.handle(event, now)) follow(command);
  };
  const follow = (command: SchedulerCommand<ScheduledRequest>): void => {
    if (command.type !== "run") return;
    const [request] = command.requests;
    ends.push({ at: now + SPEED[typeOf.get(command.device)!], request: request! });
    ends.sort((a, b) => a.at - b.at);
  };
  const advance = (to: number): void => {
    for (;;) {
      const next = Math.min(ends[0]?.at ?? Infinity, scheduler.nextWake);
      if (next > to || next === Infinity) break;
      now = Math.max(now, next);
      if (ends[0] !== undefined && ends[0].at <= now) {
        const { request } = ends.shift()!;
        if (now <= request.deadline) good += 1;
        tell({ type: "done", id: request.id });
      } else tell({ type: "timer" });
    }
    now = Math.max(now, to);
  };
  const ask = (deadline: number): void => {
    asked += 1;
    tell({ type: "request", request: { id: asked, model: "m", priority: 0, deadline } });
  };
  for (const [id, type] of typeOf) tell({ type: "device-up", device: { id, capacity: 1, type } });
  // All are known before the crowd comes.
  for (const _ of types) ask(Infinity);
  advance(1_000);
  good = 0;
  for (const gap of gaps) {
    advance(now + gap);
    ask(now + WITHIN_MS);
  }
  advance(now + 10_000);
  return good;
}

describe("slower devices", () => {
  it("[must-survive 41] answer some of a crowd that the quick ones cannot, and never cost one that they could", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 150, maxLength: 300 }),
        fc.integer({ min: 1, max: 3 }),
        (gaps, cpus) => {
          const alone = answeredInTime(["gpu"], gaps);
          const both = answeredInTime(["gpu", ...Array.from({ length: cpus }, () => "cpu" as const)], gaps);
          expect(both).toBeGreaterThan(alone);
          expect(alone).toBeLessThan(gaps.length);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("large requests", () => {
  it("[must-survive 42] start in their turn, although small ones would fit into every batch before them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 60 }),
        fc.integer({ min: 1, max: 8 }),
        fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
        (sizes, maxBatch, maxDelayMs) => {
          const times = { perItemMs: 1, fixedMs: 5 };
          const bench = new SchedulerBench({ models: [{ key: "m@1", maxBatch, times, maxDelayMs }] });
          const started: number[] = [];
          const note = (commands: ReturnType<typeof bench.ask>): void => {
            for (const one of commands)
              if (one.type === "run") started.push(...one.requests.map(({ id }) => id));
          };
          note(bench.up("a"));
          for (const [id, size] of sizes.entries()) note(bench.ask(id, { size }));
          while (started.length < sizes.length) {
            bench.now += 20;
            note(bench.timer());
            for (const id of bench.running[0]?.ids ?? []) note(bench.done(id));
          }
          expect(started).toEqual(sizes.map((_, id) => id));
        },
      ),
    );
  });

  it("[must-survive 42] wait no longer than aging lets them, although small ones with deadlines never cease", () => {
    const times = { perItemMs: 1, fixedMs: 5 };
    const bench = new SchedulerBench({ agingMs: 100, models: [{ key: "m@1", maxBatch: 8, times }] });
    bench.up("a");
    bench.ask(0);
    bench.ask(1, { size: 12 });
    let next = 2;
    const seen: string[] = [];
    for (let turn = 0; turn < 40 && !seen.includes("run 1 on a"); turn += 1) {
      for (let more = 0; more < 3; more += 1, next += 1)
        seen.push(...told(bench.ask(next, { deadline: bench.now + 60 })));
      bench.now += 10;
      seen.push(...told(bench.timer()));
      for (const id of bench.running[0]?.ids ?? []) seen.push(...told(bench.done(id)));
    }
    expect(seen).toContain("run 1 on a");
    expect(bench.now).toBeLessThanOrEqual(150);
  });
});
