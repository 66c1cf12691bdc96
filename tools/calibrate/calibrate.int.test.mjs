import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pool from "@holdfast/gpu-pool";
import * as processes from "@holdfast/gpu-pool/child-processes";
import * as discovery from "@holdfast/gpu-pool/discovery";
import * as sim from "@holdfast/gpu-pool/sim";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./run.mjs";

/** @type {any} What the sources export; the compiler would look at the last build. */
const library = { pool, sim, discovery, processes };
const folder = mkdtempSync(join(tmpdir(), "calibrate-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** @param {string} args */
async function ran(args) {
  /** @type {string[]} */
  const log = [];
  /** @type {string[]} */
  const error = [];
  const output = {
    log: (/** @type {string} */ line) => log.push(line),
    error: (/** @type {string} */ line) => error.push(line),
  };
  const code = await run(args.split(" "), library, output);
  return { code, log: log.join("\n"), error: error.join("\n") };
}

describe("npm run calibrate", () => {
  it("puts the pool's goodput beside the simulator's", async () => {
    const json = join(folder, "report.json");
    // So much time for each request that no host is too slow for it.
    const { code, log, error } = await ran(
      `--count 1 --max-batch 4 --slo 20000 --seconds 0.1 --json ${json}`,
    );
    expect(error).toBe("");
    expect(code).toBe(0);
    expect(log).toMatch(/^α [\d.]+ ms, β [\d.]+ ms/m);
    expect(log).toMatch(/^ {2}measured in the pool on the real clock +\d+$/m);
    expect(log).not.toMatch(/NaN|undefined/);
    const { profile, simulated, measured } = JSON.parse(readFileSync(json, "utf8"));
    expect(profile.points.map((/** @type {{ size: number }} */ { size }) => size)).toEqual([1, 2, 4]);
    expect(profile.perItemMs + profile.fixedMs).toBeGreaterThan(0);
    expect(simulated.exact).toBeGreaterThanOrEqual(simulated.jittered);
    expect(measured.runs).toHaveLength(7);
    expect(measured.goodput).toBeGreaterThan(0);
    expect(measured.fitted.batches).toBeGreaterThan(0);
  });

  it("says what the model said when it fails", async () => {
    const module = join(folder, "broken.mjs");
    const dist = new URL("../../packages/gpu-pool/dist/child-processes.js", import.meta.url).href;
    writeFileSync(
      module,
      `import { serveModels } from "${dist}";\nserveModels({ dense: { run: () => { throw new Error("no weights"); } } });`,
    );
    await expect(ran(`--module ${module}`)).rejects.toThrow("no weights");
  });

  it.each([
    ["--devices tpu", "say cpu or nvidia"],
    ["--slo 0", "say a number above 0"],
    ["--max-batch 1.5", "say a whole number above 0"],
    ["--input {", "say it in JSON"],
    ["--module nowhere.mjs", "there is no such file"],
    ["--speed 9", "--speed"],
    ["--slo 0.000001", "one request takes longer than --slo"],
  ])("refuses %s in a line", async (args, message) => {
    const { code, error } = await ran(args);
    expect(code).toBe(1);
    expect(error).toContain(message);
  });

  it("says what there is", async () => {
    const { code, log } = await ran("--help");
    expect(code).toBe(0);
    expect(log).toContain("--max-batch");
  });
});
