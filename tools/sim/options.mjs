// What `npm run sim` is asked for.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

export const USAGE = `npm run sim -- [options]

Requests
  --requests 40000       requests in a run
  --gamma 0.1            bursts: gamma-distributed gaps of this shape; without it, Poisson
  --zipf 0               shares by rank: the k-th model gets 1 ÷ k^this; 0: all the same
  --seeds 5              runs with other draws
  --trace requests.csv   replays lines of "time in ms, model" at their own times instead, whatever the models are called
  --rate 2500            one run at so many requests per second, a trace stretched to it, instead of a search for
                         goodput; "search" searches also with a trace

Models and devices
  --models 1             how many models: model-0, model-1, …
  --slo 25               how long a request may take, in milliseconds
  --alpha 1.082          milliseconds each request of a batch takes
  --beta 5.204           milliseconds each batch takes
  --load-ms 0            milliseconds until a model is loaded
  --model-gb 0           memory of a model
  --model name:slo=100,alpha=2,beta=9,load-ms=800,gb=12,share=3
                         what is other for one model, as often as you like
  --gpus 8               how many devices: gpu-0, gpu-1, …
  --device-gb 80         memory of a device; without it, everything fits
  --cold                 nothing is loaded at the start
  --jitter 0             batches take up to this share longer
  --mtbf 0               milliseconds after which a device fails, on average; 0: never. It is away for 1 s
  --fail 0@2000-5000,3@4000-9000
                         instead: device 0 is away from 2,000 to 5,000 ms, device 3 from 4,000 to 9,000

What is shown
  --policies a,b         of clipper, triton, nexus, clockwork, shepherd, eager, symphony, holdfast
  --load 0.8             the load at which times and busy devices are shown, as a share of the staggered bound
  --out folder           where charts are written; without it, none are

  --autoscale            something else: devices that come and go with a load that swells and ebbs, up to --gpus of them
  --wave 120000          the period of that load, in milliseconds
  --boot 10000           how long a device takes from its order until it is up
  --rate 2500            requests per second on average; at the peak it is nearly twice that
`;

/** What was asked cannot be done; the message says why. */
export class UsageError extends Error {}

/**
 * @typedef {typeof import("../../packages/gpu-pool/src/sim/index.ts")} Sim
 * @typedef {object} Options
 * @property {boolean} autoscale
 * @property {import("../../packages/gpu-pool/src/sim/index.ts").Scenario} scenario
 * @property {readonly number[]} shares
 * @property {number} gpus
 * @property {readonly import("../../packages/gpu-pool/src/sim/index.ts").PolicyName[]} policies
 * @property {readonly number[]} seeds
 * @property {number} load
 * @property {number | "search" | undefined} rate
 * @property {number} waveMs
 * @property {number} bootMs
 * @property {string | undefined} out
 */

const FLAGS = ["autoscale", "cold", "help"];
const NAMES = [...new Set(USAGE.match(/(?<=^ {2}--)[a-z-]+/gm))];
/** What an autoscaled run has no use for. */
const ONLY_COMPARED = [
  "trace",
  "fail",
  "mtbf",
  "cold",
  "load-ms",
  "model-gb",
  "device-gb",
  "jitter",
  "policies",
];

/**
 * Answers `undefined` when help is wanted.
 *
 * @param {string[]} args
 * @param {Sim} sim
 * @returns {Options | undefined}
 */
export function readOptions(args, sim) {
  const given = parsed(args);
  if (given["help"] === true) return undefined;
  /** @type {(name: string) => string | undefined} */
  const text = (name) => /** @type {string | undefined} */ (given[name]);
  /** @type {(name: string, standard: number, least?: number) => number} */
  const number = (name, standard, least = 0) => numberOf(`--${name}`, text(name) ?? standard, least);
  const isAutoscaled = given["autoscale"] === true;
  for (const name of ONLY_COMPARED)
    if (isAutoscaled && given[name] !== undefined)
      throw new UsageError(`--${name} has no place beside --autoscale`);

  const trace = traceOf(text("trace"), sim);
  const models = modelsOf(trace?.names, given, number);
  const shares = models.map(({ share }, index) => share ?? 1 / (index + 1) ** number("zipf", 0));
  const gpus = wholeNumberOf("--gpus", number("gpus", 8, 1));
  const bytes = text("device-gb") === undefined ? undefined : number("device-gb", 0) * 1e9;
  const mtbf = number("mtbf", 0);
  return {
    autoscale: isAutoscaled,
    scenario: {
      models: models.map(({ share: _, ...model }) => model),
      shares,
      devices: sim.simulatedDevices(gpus, bytes),
      count: wholeNumberOf("--requests", number("requests", 40_000, 1)),
      jitter: number("jitter", 0),
      ...(text("gamma") === undefined ? {} : { gaps: { gammaShape: number("gamma", 1) } }),
      ...(trace === undefined ? {} : { trace }),
      ...(given["cold"] === true ? { loaded: () => [] } : {}),
      ...(mtbf > 0 ? { failures: { everyMs: mtbf, forMs: 1_000 } } : {}),
      outages: outagesOf(text("fail")),
    },
    shares,
    gpus,
    policies: policiesOf(text("policies"), sim),
    seeds: Array.from({ length: wholeNumberOf("--seeds", number("seeds", 5, 1)) }, (_, index) => index + 1),
    load: number("load", 0.8),
    rate:
      text("rate") === "search" ? "search" : text("rate") === undefined ? undefined : number("rate", 0, 1e-6),
    waveMs: number("wave", 120_000, 1),
    bootMs: number("boot", 10_000),
    out: text("out"),
  };
}

/**
 * @param {string[]} args
 * @returns {Record<string, string | boolean | (string | boolean)[] | undefined>}
 */
function parsed(args) {
  const text = /** @type {const} */ ({ type: "string" });
  const flag = /** @type {const} */ ({ type: "boolean" });
  try {
    return parseArgs({
      args,
      options: {
        ...Object.fromEntries(NAMES.map((name) => [name, text])),
        ...Object.fromEntries(FLAGS.map((name) => [name, flag])),
        model: { type: "string", multiple: true },
      },
    }).values;
  } catch (error) {
    throw new UsageError(`${/** @type {Error} */ (error).message.split(". ")[0]}; --help says what there is`);
  }
}

/** @param {string | undefined} path @param {Sim} sim */
function traceOf(path, sim) {
  if (path === undefined) return undefined;
  let text;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--trace: ${/** @type {Error} */ (error).message}`);
  }
  return sim.traceFromCsv(text);
}

/**
 * @param {readonly string[] | undefined} names
 * @param {ReturnType<typeof parsed>} given
 * @param {(name: string, standard: number, least?: number) => number} number
 */
function modelsOf(names, given, number) {
  const count = wholeNumberOf("--models", number("models", 1, 1));
  const keys = names ?? Array.from({ length: count }, (_, index) => `model-${index}`);
  const others = new Map(/** @type {string[]} */ (given["model"] ?? []).map(specOf));
  for (const name of others.keys())
    if (!keys.includes(name))
      throw new UsageError(`--model: no model "${name}", but ${keys.slice(0, 10).join(", ")}`);
  return keys.map((key) => {
    const other = others.get(key) ?? {};
    const gb = other["gb"] ?? number("model-gb", 0);
    const loadMs = other["load-ms"] ?? number("load-ms", 0);
    return {
      key,
      times: {
        perItemMs: other["alpha"] ?? number("alpha", 1.082),
        fixedMs: other["beta"] ?? number("beta", 5.204),
      },
      sloMs: other["slo"] ?? number("slo", 25),
      ...(gb > 0 ? { memoryBytes: gb * 1e9 } : {}),
      ...(loadMs > 0 ? { loadMs } : {}),
      share: other["share"],
    };
  });
}

/**
 * Reads `name:slo=100,alpha=2`; a name may have colons of its own.
 *
 * @param {string} text
 * @returns {[string, Record<string, number>]}
 */
function specOf(text) {
  const [, name, list] = /^(.+):([^:]*)$/.exec(text) ?? [];
  if (name === undefined || list === undefined)
    throw new UsageError(`--model: "${text}" is not name:slo=100,…`);
  /** @type {Record<string, number>} */
  const spec = {};
  for (const part of list.split(",")) {
    const [key = "", value = ""] = part.split("=");
    if (!["slo", "alpha", "beta", "load-ms", "gb", "share"].includes(key))
      throw new UsageError(`--model: "${part}" is none of slo=, alpha=, beta=, load-ms=, gb=, share=`);
    spec[key] = numberOf(`--model: ${key}`, value, 0);
  }
  return [name, spec];
}

/**
 * Reads `0@2000-5000,3@4000-9000`.
 *
 * @param {string | undefined} text
 */
function outagesOf(text) {
  return (text?.split(",") ?? []).map((part) => {
    const [, device, down, up] = /^(\d+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (device === undefined)
      throw new UsageError(`--fail: "${part}" is not device@from-to, such as 0@2000-5000`);
    return { device: `gpu-${device}`, downAt: Number(down), upAt: Number(up) };
  });
}

/** @param {string | undefined} text @param {Sim} sim */
function policiesOf(text, sim) {
  const names = text?.split(",") ?? Object.keys(sim.POLICIES);
  for (const name of names)
    if (!Object.hasOwn(sim.POLICIES, name)) throw new UsageError(`--policies: no policy "${name}"`);
  return /** @type {import("../../packages/gpu-pool/src/sim/index.ts").PolicyName[]} */ (names);
}

/** @param {string} name @param {string | number} given @param {number} least */
function numberOf(name, given, least) {
  const value = given === "" ? NaN : Number(given);
  if (!Number.isFinite(value) || value < least)
    throw new UsageError(`${name} must be a number from ${least}, not ${given}`);
  return value;
}

/** @param {string} name @param {number} value */
function wholeNumberOf(name, value) {
  if (!Number.isInteger(value)) throw new UsageError(`${name} must be a whole number, not ${value}`);
  return value;
}
