// One run of the comparison: what was asked for, what is simulated, what is printed.
import { autoscale } from "./autoscale.mjs";
import { compare } from "./compare.mjs";
import { readOptions, USAGE, UsageError } from "./options.mjs";

/**
 * @typedef {object} Library
 * @property {typeof import("../../packages/gpu-pool/src/sim/index.ts")} sim
 * @property {typeof import("../../packages/gpu-pool/src/index.ts")} pool
 * @typedef {object} Output
 * @property {(line: string) => void} log
 * @property {(line: string) => void} error
 */

/**
 * Answers the exit code. What was asked wrongly is said in a line.
 *
 * @param {string[]} args
 * @param {Library} library
 * @param {Output} output
 */
export async function run(args, library, output) {
  try {
    const options = readOptions(args, library.sim);
    if (options === undefined) output.log(USAGE);
    else if (options.autoscale) autoscale(library, options, output);
    else compare(library.sim, options, output);
    return 0;
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: unknown }} */ (error);
    if (!(error instanceof UsageError) && code !== "INVALID_OPTION") throw error;
    output.error(message);
    return 1;
  }
}
