// What the pictures of docs/breaker.md claim, on shorter runs of the same scenarios.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { svgChart } from "../sim/chart.mjs";
import { amplification, timeToRecover } from "../sim/meter.mjs";
import { SCENARIOS } from "../sim/scenarios.mjs";
import { capacityStep } from "../sim/scenarios/capacity-step.mjs";
import { coldRestart } from "../sim/scenarios/cold-restart.mjs";
import { hang } from "../sim/scenarios/hang.mjs";
import { retryStorm } from "../sim/scenarios/retry-storm.mjs";
import { surge } from "../sim/scenarios/surge.mjs";

describe("retry storm", () => {
  it("multiplies the load and outlives the outage without a budget; with one it does neither", async () => {
    const { figures } = await retryStorm({ seed: 11, seconds: 60 });
    expect(figures.without.amplification).toBeGreaterThan(2);
    expect(figures.without.timeToRecover).toBe(Infinity);
    expect(figures.withBudget.amplification).toBeLessThan(1.3);
    expect(figures.withBudget.timeToRecover).toBeLessThan(20);
  });
});

describe("cold restart", () => {
  it("is over sooner when the breaker lets the load come back slowly, and never without a breaker", async () => {
    const { figures } = await coldRestart({ seed: 11, seconds: 90 });
    expect(figures.none.timeToRecover).toBe(Infinity);
    expect(figures.ramped.timeToRecover).toBeLessThan(figures.atOnce.timeToRecover);
    expect(figures.ramped.goodputAfter).toBeGreaterThan(2 * figures.atOnce.goodputAfter);
  });
});

describe("hang", () => {
  it("starves the healthy neighbour without a breaker, and leaves it alone with one", async () => {
    const { figures } = await hang({ seed: 11 });
    expect(figures.none.neighbourShare).toBeLessThan(0.6);
    expect(figures.guarded.neighbourShare).toBeGreaterThan(0.99);
    expect(figures.guarded.failureAfterMs).toBeLessThan(figures.none.failureAfterMs / 10);
    expect(figures.guarded.requestsToHung).toBeLessThan(2);
  });
});

describe("capacity step", () => {
  it("fits one capacity with a fixed limit, and both with an adaptive one", async () => {
    const { figures } = await capacityStep({ seed: 11 });
    const { wide, narrow, adaptive } = figures;
    expect(wide.goodputBefore).toBeGreaterThan(145);
    expect(wide.goodputDuring).toBeLessThan(10);
    expect(narrow.goodputBefore).toBeLessThan(100);
    expect(narrow.goodputDuring).toBeGreaterThan(50);
    expect(adaptive.goodputBefore).toBeGreaterThan(0.97 * wide.goodputBefore);
    expect(adaptive.goodputDuring).toBeGreaterThan(0.9 * narrow.goodputDuring);
    expect(adaptive.goodputAfter).toBeGreaterThan(0.95 * adaptive.goodputBefore);
  });
});

describe("surge", () => {
  it("leaves a server nothing but refusals without a throttle, and most of its capacity with one", async () => {
    const { figures } = await surge({ seed: 11 });
    expect(figures.none.goodputDuring).toBeLessThan(20);
    expect(figures.throttled.goodputDuring).toBeGreaterThan(70);
    expect(figures.throttled.offeredDuring).toBeLessThan(figures.none.offeredDuring / 2);
  });
});

describe("measures", () => {
  const measured = (calls: number[], answered: number[]) => ({
    calls,
    answered,
    offered: calls.map((count) => count * 2),
    goodput: answered,
    inFlight: [],
    queued: [],
    gauge: [],
    latencyMs: [],
    sentLatencyMs: [],
    failures: {},
  });

  it("counts requests per call", () => {
    expect(amplification(measured([10, 10], [10, 10]), 0, 2)).toBe(2);
  });

  it("calls a service recovered from the first of ten good seconds on, and never on a lucky second", () => {
    const calls = Array.from({ length: 40 }, () => 10);
    const good = calls.map((_, second) => (second === 5 || second >= 15 ? 10 : 0));
    expect(timeToRecover(measured(calls, good), 3)).toBe(12);
    expect(
      timeToRecover(
        measured(
          calls,
          calls.map((_, second) => (second % 2 === 0 ? 10 : 0)),
        ),
        3,
      ),
    ).toBe(Infinity);
  });
});

describe("pictures", () => {
  it.each(Object.keys(SCENARIOS))(
    "%s.svg in docs/breaker is what its scenario draws",
    async (name) => {
      const { chart } = await SCENARIOS[name as keyof typeof SCENARIOS]();
      const committed = readFileSync(new URL(`../../../docs/breaker/${name}.svg`, import.meta.url), "utf8");
      expect(committed === svgChart(chart), "run `node packages/breaker/sim/cli.mjs`").toBe(true);
    },
    60_000,
  );

  it("escapes what is written into them", () => {
    const svg = svgChart({
      title: "a < b & c",
      subtitle: "",
      bands: [],
      panels: [{ title: "", series: [{ name: "x", values: [1, Number.NaN, 2] }] }],
    });
    expect(svg).toContain("a &lt; b &amp; c");
    expect(svg).not.toContain("NaN");
  });
});
