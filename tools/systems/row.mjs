// The tag of a test that shows a row of the documented systems.
import { readFileSync } from "node:fs";

/** @type {readonly { readonly row: number }[]} */
const ROWS = JSON.parse(readFileSync(new URL("./rows.json", import.meta.url), "utf8"));
const KNOWN = new Set(ROWS.map(({ row: number }) => number));

/**
 * A test's title that says which rows of `docs/systems.md` it shows. Written as
 * `it(row(75, "checks every dependency"), …)`, with literals, so that the matrix can be made without running it.
 *
 * @param {number | readonly number[]} numbers
 * @param {string} title
 * @returns {string}
 */
export function row(numbers, title) {
  const all = typeof numbers === "number" ? [numbers] : numbers;
  const unknown = all.filter((number) => !KNOWN.has(number));
  if (unknown.length > 0 || all.length === 0)
    throw new RangeError(`no row ${unknown.join(", ")} in rows.json`);
  return `[row ${all.join(", ")}] ${title}`;
}
