import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pool from "@holdfast/gpu-pool";
import * as sim from "@holdfast/gpu-pool/sim";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "./run.mjs";

/** @type {any} What the sources export; the compiler would look at the last build. */
const library = { sim, pool };
const folder = mkdtempSync(join(tmpdir(), "sim-"));
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
  const code = await run(args === "" ? [] : args.split(" "), library, output);
  return { code, log: log.join("\n"), error: error.join("\n") };
}

/** @param {string} text */
function file(text) {
  const path = join(folder, "trace.csv");
  writeFileSync(path, text);
  return path;
}

const QUICK = "--requests 300 --seeds 1 --policies holdfast,clockwork,eager";

describe("npm run sim", { timeout: 60_000 }, () => {
  it("says what there is", async () => {
    const { code, log } = await ran("--help");
    expect(code).toBe(0);
    for (const flag of ["--load-ms", "--model-gb", "--device-gb", "--fail", "--trace", "--model "])
      expect(log).toContain(flag);
  });

  it("prints goodput beside its bounds", async () => {
    const { code, log } = await ran(QUICK);
    expect(code).toBe(0);
    expect(log).toMatch(/^staggered +5599/m);
    expect(log).toMatch(/^holdfast/m);
    expect(log).not.toMatch(/NaN|undefined|assume/);
  });

  it("has those load that load, and says of the others that they do not", async () => {
    const { code, log } = await ran(
      `--requests 2000 --policies holdfast,clockwork,eager,nexus --models 8 --slo 400 --gpus 2 --model-gb 10 --device-gb 25 --load-ms 40 --rate 100`,
    );
    expect(code).toBe(0);
    const loads = (/** @type {string} */ policy) =>
      Number(new RegExp(`^${policy} .* (\\d+)$`, "m").exec(log)?.[1]);
    expect(loads("holdfast")).toBeGreaterThan(0);
    expect(loads("clockwork")).toBeGreaterThan(0);
    expect(loads("eager")).toBe(0);
    expect(log).toMatch(
      /^eager, nexus: .*resident.*4 models fit nowhere .*: model-4, model-5, model-6, model-7\.$/m,
    );
  });

  it("takes devices away when it is told to", async () => {
    const args = "--requests 2000 --policies eager --gpus 2 --rate 300 --slo 60";
    const share = (/** @type {{ log: string }} */ { log }) => Number(/^eager +([\d.]+) %/m.exec(log)?.[1]);
    expect(share(await ran(args))).toBe(100);
    expect(share(await ran(`${args} --fail 0@1000-4000,1@1000-4000`))).toBeLessThan(70);
  });

  it("replays a trace of any models at its own times, unless a rate is given", async () => {
    const path = file("ms,model\n0,llama\n500,flux.1@2\n4000,llama\n");
    const { code, log, error } = await ran(`--trace ${path} --policies holdfast,eager`);
    expect([code, error]).toEqual([0, ""]);
    expect(log).toContain("3 requests for 2 models, in 4.0 s, as recorded");
    expect(log).toMatch(/^eager +100\.0 %/m);
    expect((await ran(`--trace ${path} --policies eager --rate 10`)).log).toContain("at 10 per second");
    expect((await ran(`--trace ${path} --policies eager --rate search --seeds 1`)).log).toContain(
      "of staggered",
    );
  });

  it("knows what is other for one model", async () => {
    const path = file("0,llama\n0,flux:dev\n");
    const args = `--trace ${path} --policies eager --slo 20 --gpus 2`;
    expect((await ran(args)).log).toMatch(/^eager +100\.0 %/m);
    expect((await ran(`${args} --model flux:dev:beta=30`)).log).toMatch(/^eager +50\.0 %/m);
    expect((await ran(`${args} --model flux:dev:beta=30,slo=40`)).log).toMatch(/^eager +100\.0 %/m);
  });

  it("compares a load that swells and ebbs", async () => {
    const { code, log } = await ran("--autoscale --gpus 4 --wave 4000 --rate 200 --boot 500");
    expect(code).toBe(0);
    expect(log).toMatch(/^autoscaled +\d/m);
  });

  it("draws charts", async () => {
    const { log } = await ran(`${QUICK} --out ${join(folder, "charts")}`);
    for (const name of ["goodput", "latency", "timeline-eager"]) expect(log).toContain(`${name}.svg`);
  });

  it.each([
    ["--trace /nowhere/at-all.csv", /^--trace: ENOENT/],
    ["--fail 0", /^--fail: "0" is not device@from-to/],
    ["--fail 9@1-2", /gpu-9/],
    ["--gpus 0", /^--gpus must be a number from 1/],
    ["--gpus 1.5", /^--gpus must be a whole number/],
    ["--policies fastest", /^--policies: no policy "fastest"/],
    ["--model model-7:slo=1", /^--model: no model "model-7"/],
    ["--model model-0:speed=1", /^--model: "speed=1" is none of/],
    ["--speed 1", /Unknown option '--speed'; --help/],
    ["--model-gb 90 --device-gb 80", /fits nowhere/],
    ["--autoscale --load-ms 4", /^--load-ms has no place beside --autoscale/],
  ])("says in a line what is wrong about %s", async (args, message) => {
    const { code, error } = await ran(args);
    expect(code).toBe(1);
    expect(error).toMatch(message);
    expect(error.split("\n")).toHaveLength(1);
  });

  it("says in a line which line of a trace is wrong", async () => {
    const { code, error } = await ran(`--trace ${file("0,llama\nsoon,llama\n")}`);
    expect([code, error.split("\n").length]).toEqual([1, 1]);
    expect(error).toMatch(/line 2: time" must be milliseconds/);
  });
});
