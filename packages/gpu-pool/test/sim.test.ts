import { Scheduler } from "@holdfast/gpu-pool";
import type { PolicyName, Scenario } from "@holdfast/gpu-pool/sim";
import {
  drawTrace,
  goodputBounds,
  goodputOf,
  latencyLine,
  lineChart,
  POLICIES,
  runScenario,
  simulate,
  simulatedDevices,
  timelineChart,
  traceFromCsv,
  zipfShares,
} from "@holdfast/gpu-pool/sim";
import { describe, expect, it } from "vitest";

const times = { perItemMs: 1.082, fixedMs: 5.204 };
const one = { models: [{ key: "m", times, sloMs: 25 }], devices: simulatedDevices(8), count: 20_000 };
const names = Object.keys(POLICIES) as PolicyName[];

describe("traces", () => {
  it("have the rate that was asked for, and are the same for the same seed", () => {
    for (const gaps of ["poisson", { gammaShape: 0.1 }] as const) {
      const trace = drawTrace({ count: 10_000, ratePerSecond: 200, seed: 3, gaps });
      expect(trace.times.at(-1)).toBeCloseTo(50_000);
      expect(drawTrace({ count: 10_000, ratePerSecond: 200, seed: 3, gaps })).toEqual(trace);
      expect(drawTrace({ count: 10_000, ratePerSecond: 200, seed: 4, gaps })).not.toEqual(trace);
    }
  });

  it("are as bursty as their shape says: a squared coefficient of variation of 1 ÷ shape", () => {
    const cv2 = (gaps: "poisson" | { gammaShape: number }): number => {
      const { times: at } = drawTrace({ count: 50_000, ratePerSecond: 1_000, seed: 1, gaps });
      const all = Array.from(at, (time, index) => time - (at[index - 1] ?? 0));
      const mean = all.reduce((sum, gap) => sum + gap, 0) / all.length;
      return all.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / all.length / mean ** 2;
    };
    expect(cv2("poisson")).toBeCloseTo(1, 1);
    expect(cv2({ gammaShape: 0.1 })).toBeGreaterThan(8);
    expect(cv2({ gammaShape: 0.1 })).toBeLessThan(12);
    expect(cv2({ gammaShape: 4 })).toBeCloseTo(0.25, 1);
  });

  it("share requests out among models", () => {
    const { models } = drawTrace({ count: 20_000, ratePerSecond: 100, seed: 1, shares: zipfShares(3, 1) });
    const share = (model: number): number => models.filter((other) => other === model).length / 20_000;
    expect(share(0)).toBeCloseTo(6 / 11, 1);
    expect(share(2)).toBeCloseTo(2 / 11, 1);
  });

  it("are read from lines of time and model, with or without a heading, whatever the models are called", () => {
    const trace = traceFromCsv('time,model\n20,"llama, 8b"\n10,flux.1@2,more\n\n30, "llama, 8b"\r\n');
    expect([...trace.times]).toEqual([10, 20, 30]);
    expect(trace.names).toEqual(["flux.1@2", "llama, 8b"]);
    expect([...trace.models]).toEqual([0, 1, 1]);
  });

  it("have the models that they are said to have, where that is said", () => {
    const trace = traceFromCsv("20,b\n10,b\n", ["a", "b"]);
    expect([trace.names, [...trace.models]]).toEqual([
      ["a", "b"],
      [1, 1],
    ]);
  });

  it("say which line is wrong, and what about it", () => {
    const wrong: readonly (readonly [text: string, models: readonly string[] | undefined, what: RegExp])[] = [
      ["1,a\n2,c", ["a"], /"line 2: model" must be one of a; got .*c/],
      ["0,a\nx,a", undefined, /"line 2: time" must be milliseconds from 0; got .*x/],
      ["0,a\n-5,a", undefined, /line 2: time.*-5/],
      ["0,a\n,a", undefined, /line 2: time/],
      ["0,a\n1", undefined, /line 2: model/],
      ["0,a\n1,", undefined, /line 2: model/],
      ["time,model\n\n", undefined, /text.*at least one/],
    ];
    for (const [text, models, what] of wrong) {
      expect(() => traceFromCsv(text, models)).toThrow(what);
      expect(() => traceFromCsv(text, models)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    }
  });

  it("are replayed at their own times, from their first on, or at any rate", () => {
    const trace = traceFromCsv("1000000,m\n1000040,m\n1002000,m\n");
    const starts = (rate: number | undefined): readonly number[] =>
      runScenario({ ...one, trace }, "eager", rate, 1, true).timeline.map(({ start }) => start);
    expect(starts(undefined)).toEqual([0, 40, 2_000]);
    expect(starts(3).at(-1)).toBeCloseTo(1_000);
  });

  it("have no times of their own when they are drawn", () => {
    expect(() => runScenario(one, "eager", undefined, 1)).toThrow(/ratePerSecond/);
  });

  it("name the models of their scenario", () => {
    const trace = traceFromCsv("0,m\n1,n\n");
    expect(() => runScenario({ ...one, trace }, "eager", undefined, 1)).toThrow(/trace.*model 1/);
  });
});

describe("a simulation", { timeout: 30_000 }, () => {
  it("accounts for every request once, under every policy, also when devices fail", () => {
    for (const policy of names)
      for (const failures of [undefined, { everyMs: 500, forMs: 100 }]) {
        const { requests, good, late, dropped } = runScenario(
          { ...one, count: 5_000, jitter: 0.2, ...(failures ? { failures } : {}) },
          policy,
          4_000,
          1,
        );
        expect([policy, good + late + dropped]).toEqual([policy, requests]);
        expect(good).toBeGreaterThan(0);
      }
  });

  it("gives the same result for the same seed, under every policy", () => {
    for (const policy of names)
      expect(runScenario({ ...one, count: 3_000, jitter: 0.3 }, policy, 4_500, 7, true)).toEqual(
        runScenario({ ...one, count: 3_000, jitter: 0.3 }, policy, 4_500, 7, true),
      );
  });

  it("never lets a device run two batches at once, nor a batch that is larger than it may be", () => {
    for (const policy of names) {
      const { timeline } = runScenario({ ...one, count: 3_000 }, policy, 4_500, 2, true);
      const ends = new Map<string, number>();
      for (const { device, start, end } of timeline.toSorted((a, b) => a.start - b.start)) {
        expect(start).toBeGreaterThanOrEqual((ends.get(device) ?? 0) - 1e-9);
        ends.set(device, end);
      }
    }
  });

  it("loads models where they are missing, and needs time for it", () => {
    const models = [0, 1, 2].map((index) => ({ key: `m${index}`, times, sloMs: 500, loadMs: 40 }));
    const loads: string[] = [];
    const result = simulate({
      scheduler: new Scheduler({
        models: models.map(({ key }) => ({ key, times, maxBatch: 16, memoryBytes: 10 })),
        queueLimit: 10_000,
      }),
      trace: drawTrace({ count: 2_000, ratePerSecond: 200, seed: 1, shares: [1, 1, 1] }),
      models,
      devices: simulatedDevices(3).map((device) => ({ ...device, memoryBytes: 10 })),
      loaded: () => [],
      onEvent: (_event, commands) => {
        for (const command of commands) if (command.type === "load") loads.push(command.model);
      },
    });
    expect(new Set(loads).size).toBe(3);
    // One for each device: nothing is thrown out that is in demand.
    expect(loads.length).toBeLessThanOrEqual(6);
    expect(result.goodShare).toBeGreaterThan(0.98);
  });
});

describe("goodput", { timeout: 60_000 }, () => {
  const inTime = (scenario: Scenario, policy: PolicyName, rate: number): number =>
    runScenario(scenario, policy, rate, 1).goodShare;

  it("is found by halving, and lies below what the analytic bounds allow a kind of policy", () => {
    const { staggered, uncoordinated } = goodputBounds(times, 25, 8);
    for (const policy of ["clipper", "nexus"] as const) {
      const found = goodputOf({ ...one, count: 5_000 }, policy, 1, 6_000);
      expect(found).toBeLessThan(uncoordinated);
      expect(found).toBeGreaterThan(0.9 * uncoordinated);
    }
    expect(inTime(one, "symphony", 0.9 * staggered)).toBeGreaterThan(0.99);
    expect(inTime(one, "symphony", 0.94 * staggered)).toBeLessThan(0.99);
  });

  it("of ours comes nearest to the staggered bound", () => {
    const { staggered } = goodputBounds(times, 25, 8);
    const ours = inTime(one, "holdfast", 0.94 * staggered);
    expect(ours).toBeGreaterThan(0.99);
    for (const policy of names)
      if (policy !== "holdfast") expect(inTime(one, policy, 0.94 * staggered)).toBeLessThan(ours);
  });

  it("of ours is the highest also in bursts and with many models", () => {
    const ten = Array.from({ length: 10 }, (_, index) => ({ key: `m${index}`, times, sloMs: 100 }));
    for (const [scenario, rate] of [
      [{ ...one, gaps: { gammaShape: 0.1 } }, 4_200],
      [{ ...one, models: ten, count: 40_000 }, 6_500],
      [{ ...one, models: ten, count: 40_000, gaps: { gammaShape: 0.1 } }, 6_500],
    ] as const)
      for (const policy of ["eager", "symphony", "nexus", "triton"] as const)
        expect(inTime(scenario, "holdfast", rate)).toBeGreaterThan(inTime(scenario, policy, rate));
  });

  it("needs no times to be told: they are found out", () => {
    const { goodShare } = simulate({
      scheduler: new Scheduler({ models: [{ key: "m", maxBatch: 18 }], queueLimit: 100_000 }),
      trace: drawTrace({ count: 20_000, ratePerSecond: 5_000, seed: 1 }),
      models: one.models,
      devices: one.devices,
    });
    expect(goodShare).toBeGreaterThan(0.99);
  });

  it("needs no more device time than Symphony at low load, far less than starting at once", () => {
    const { staggered } = goodputBounds(times, 25, 8);
    for (const load of [0.2, 0.4, 0.6]) {
      const busy = (policy: PolicyName): number => runScenario(one, policy, load * staggered, 1).busyDevices;
      expect(busy("holdfast")).toBeLessThan(1.01 * busy("symphony"));
      expect(busy("holdfast")).toBeLessThan(0.7 * busy("eager"));
    }
  });
});

describe("charts", () => {
  it("draw lines, marks and bars as well-formed SVG", () => {
    const { latencies, timeline } = runScenario({ ...one, count: 2_000 }, "holdfast", 3_000, 1, true);
    const line = latencyLine("a < b", latencies);
    expect(line.points.at(-1)).toEqual([latencies.at(-1), 100]);
    const lines = lineChart({ title: "T", x: "ms", y: "%", lines: [line], mark: { name: "here", x: 10 } });
    const bars = timelineChart("batches", timeline, 100, 200);
    for (const svg of [lines, bars]) {
      expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    }
    expect(lines).toContain("a &lt; b");
    expect(bars.match(/<rect/g)!.length).toBeGreaterThan(8);
  });
});
