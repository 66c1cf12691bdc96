// Holds a tarball against publint and are-the-types-wrong.
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { readFileSync } from "node:fs";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

/** @typedef {import("./pack.mjs").Packed} Packed */

// Our packages are ESM only, on Node ≥ 20.19. Two ways to resolve them are therefore not ours to serve: "node10"
// does not read `exports` at all, and "node16-cjs" calls any ESM an error, although these Nodes do require it (the
// scratch app shows that they do).
const NOT_SERVED = new Set(["node10", "node16-cjs"]);

/**
 * @param {Packed} packed
 * @returns {Promise<string[]>}
 */
export async function publintFaults({ manifest, tarball }) {
  const { messages } = await publint({
    pack: { tarball: bytesOf(tarball).buffer },
    level: "suggestion",
    strict: true,
  });
  return messages.map((message) => `publint: ${formatMessage(message, manifest)}`);
}

/**
 * @param {Packed} packed
 * @returns {Promise<{ faults: string[], ignored: number }>}
 */
export async function typesFaults({ tarball }) {
  const result = await checkPackage(createPackageFromTarballData(bytesOf(tarball)));
  if (result.types === false)
    return { faults: ["are-the-types-wrong: the tarball has no types"], ignored: 0 };
  const served = result.problems.filter((problem) => !NOT_SERVED.has(resolutionOf(problem)));
  return {
    faults: served.map((problem) => `are-the-types-wrong: ${JSON.stringify(problem)}`),
    ignored: result.problems.length - served.length,
  };
}

/** @param {import("@arethetypeswrong/core").Problem} problem */
function resolutionOf(problem) {
  if ("resolutionKind" in problem) return problem.resolutionKind;
  return "resolutionOption" in problem ? problem.resolutionOption : "any";
}

/** @param {string} file */
function bytesOf(file) {
  return new Uint8Array(readFileSync(file));
}
