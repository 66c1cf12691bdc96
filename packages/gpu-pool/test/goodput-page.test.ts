import { readFileSync } from "node:fs";
import type { PolicyName, Scenario } from "@holdfast/gpu-pool/sim";
import { POLICIES, runScenario, simulatedDevices } from "@holdfast/gpu-pool/sim";
import { describe, expect, it } from "vitest";

const page = readFileSync(new URL("../../../docs/gpu-pool-goodput.md", import.meta.url), "utf8");
const times = { perItemMs: 1.082, fixedMs: 5.204 };
const bursts = { gammaShape: 0.1 };
const settings = {
  "1 model, 25 ms, Poisson": setting(1, 25),
  "1 model, 25 ms, gamma 0.1": { ...setting(1, 25), gaps: bursts },
  "10 models, 100 ms, Poisson": setting(10, 100),
  "10 models, 100 ms, gamma 0.1": { ...setting(10, 100), gaps: bursts },
};
const columns = Object.keys(settings) as (keyof typeof settings)[];
/** How far one seed may be off the mean of five. */
const OFF = 0.05;

function setting(models: number, sloMs: number): Scenario {
  return {
    models: Array.from({ length: models }, (_, index) => ({ key: `m${index}`, times, sloMs })),
    devices: simulatedDevices(8),
    count: 40_000,
  };
}

/** The cells of the page's rows that begin with a policy. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.replaceAll("*", "").trim()),
  )
  .filter(([name = ""]) => name in POLICIES);
const number = (cell: string): number => Number(cell.replaceAll(",", ""));
const figures = new Map(
  rows
    .filter((row) => columns.every((one) => !row.includes(one)))
    .map((row) => [row[0]!, row.slice(1).map(number)]),
);

describe("docs/gpu-pool-goodput.md", { timeout: 300_000 }, () => {
  it("has a figure for every policy and setting that the simulator comes near to", () => {
    expect([...figures.keys()]).toEqual(Object.keys(POLICIES));
    for (const [policy, found] of figures)
      for (const [index, column] of columns.entries()) {
        const inTime = (rate: number): number =>
          runScenario(settings[column], policy as PolicyName, rate, 1).goodShare;
        const where = `${policy}, ${column}`;
        expect([where, inTime(found[index]! * (1 - OFF)) >= 0.99]).toEqual([where, true]);
        expect([where, inTime(found[index]! * (1 + OFF)) < 0.99]).toEqual([where, true]);
      }
  });

  it("says of every other figure how far ours is apart, and marks what is not within 3 %", () => {
    const compared = rows.filter((row) => columns.some((one) => row.includes(one)));
    expect(compared.length).toBe(18);
    for (const [policy, column, there = "", here, apart = ""] of compared) {
      const ours = figures.get(policy!)![columns.indexOf(column as (typeof columns)[number])]!;
      const ends = there.split("–").map(number);
      const nearest = Math.min(Math.max(ours, ends[0]!), ends.at(-1)!);
      const share = Math.abs(ours / nearest - 1);
      expect([policy, column, number(here!)]).toEqual([policy, column, ours]);
      expect([policy, column, Number.parseFloat(apart)]).toEqual([
        policy,
        column,
        Number((share * 100).toFixed(1)),
      ]);
    }
    const line = (policy: string, column: string): string | undefined =>
      page
        .split("\n")
        .find((one) => one.startsWith(`| ${policy} `) && one.includes(` ${column} `) && one.includes("%"));
    for (const [policy, column, , , apart = ""] of compared)
      expect([policy, column, line(policy!, column!)?.includes("% *")]).toEqual([
        policy,
        column,
        Number.parseFloat(apart) > 3,
      ]);
  });

  it("has ours at 95 % of the staggered bound in the first setting, and above all others in each", () => {
    const ours = figures.get("holdfast")!;
    expect(ours[0]! / 5_599).toBeGreaterThanOrEqual(0.95);
    for (const [policy, theirs] of figures)
      if (policy !== "holdfast")
        for (const [index, one] of theirs.entries()) expect(ours[index]).toBeGreaterThan(one);
  });
});
