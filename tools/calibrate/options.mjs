// What `npm run calibrate` is asked for.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

export const USAGE = `npm run calibrate -- [options]

  --module models.js     calls \`serveModels\` of @holdfast/gpu-pool/child-processes; without it, a small dense network
                         that runs on the CPU
  --model dense          which of its models
  --input '{"n":1}'      what each request is given, in JSON
  --devices cpu          or nvidia: a process for each device, which knows its own by CUDA_VISIBLE_DEVICES
  --count 1              how many of them; without it, all there are
  --max-batch 32         most requests in a batch
  --slo 50               how long a request may take, in milliseconds
  --seconds 3            how long the pool is driven at each of seven rates
  --json report.json     where all of it is written too
`;

/** What was asked cannot be done; the message says why. */
export class UsageError extends Error {}

/**
 * @typedef {object} Options
 * @property {string} module
 * @property {string} model
 * @property {unknown} input
 * @property {"cpu" | "nvidia"} devices
 * @property {number | undefined} count
 * @property {number} maxBatch
 * @property {number} sloMs
 * @property {number} seconds
 * @property {string | undefined} json
 */

const NAMES = [...new Set(USAGE.match(/(?<=^ {2}--)[a-z-]+/gm))];

/**
 * Answers `undefined` when help is wanted.
 *
 * @param {string[]} args
 * @returns {Options | undefined}
 */
export function readOptions(args) {
  const given = parsed(args);
  if (given["help"] === true) return undefined;
  /** @type {(name: string) => string | undefined} */
  const text = (name) => /** @type {string | undefined} */ (given[name]);
  /** @type {(name: string, standard: number, isWhole?: boolean) => number} */
  const number = (name, standard, isWhole = false) => {
    const value = Number(text(name) ?? standard);
    if (value > 0 && value < Infinity && (!isWhole || Number.isInteger(value))) return value;
    throw new UsageError(`--${name} ${text(name)}: say a ${isWhole ? "whole " : ""}number above 0`);
  };
  const module = resolve(text("module") ?? fileURLToPath(new URL("dense-network.mjs", import.meta.url)));
  if (!existsSync(module)) throw new UsageError(`--module ${module}: there is no such file`);
  const devices = text("devices") ?? "cpu";
  if (devices !== "cpu" && devices !== "nvidia")
    throw new UsageError(`--devices ${devices}: say cpu or nvidia`);
  return {
    module,
    model: text("model") ?? "dense",
    input: jsonOf(text("input")),
    devices,
    count: text("count") === undefined ? undefined : number("count", 1, true),
    maxBatch: number("max-batch", 32, true),
    sloMs: number("slo", 50),
    seconds: number("seconds", 3),
    json: text("json"),
  };
}

/** @param {string[]} args */
function parsed(args) {
  /** @type {Record<string, { type: "string" | "boolean" }>} */
  const options = { help: { type: "boolean" } };
  for (const name of NAMES) options[name] = { type: "string" };
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message, { cause: error });
  }
}

/** @param {string | undefined} text */
function jsonOf(text) {
  if (text === undefined) return undefined;
  try {
    return /** @type {unknown} */ (JSON.parse(text));
  } catch (error) {
    throw new UsageError(`--input ${text}: say it in JSON`, { cause: error });
  }
}
