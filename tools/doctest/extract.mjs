// Takes the TypeScript examples out of documents and doc comments.

/**
 * @typedef {object} Example
 * @property {string} file - Path from the root of the repository.
 * @property {number} line - Where its first line of code stands in `file`.
 * @property {string} code
 * @property {boolean} runs - Otherwise its types are checked only.
 */

/** @typedef {{ readonly examples: Example[], readonly faults: string[] }} Extracted */

/**
 * @param {string} file
 * @param {string} text
 * @returns {Extracted}
 */
export function extract(file, text) {
  const lines = file.endsWith(".md") ? text.split("\n") : docCommentsOf(text);
  /** @type {Extracted} */
  const found = { examples: [], faults: [] };
  for (let at = 0; at < lines.length; at += 1) {
    const fence = /^\s*(`{3,})\s*(\S.*)?$/.exec(lines[at] ?? "");
    if (fence === null) continue;
    const end = endOf(lines, at, fence[1] ?? "```");
    const info = (fence[2] ?? "").trim();
    if (/^(ts|tsx|typescript)\b/.test(info)) add(found, file, at, info, lines.slice(at + 1, end));
    at = end;
  }
  return found;
}

/**
 * @param {Extracted} found
 * @param {string} file
 * @param {number} at - Of the fence, from 0.
 * @param {string} info
 * @param {readonly string[]} lines
 */
function add(found, file, at, info, lines) {
  const runs = info === "ts";
  if (runs || /^ts no-run: \S/.test(info))
    found.examples.push({ file, line: at + 2, code: lines.join("\n"), runs });
  else
    found.faults.push(
      `${file}:${at + 1} \`${info}\` is not known: an example is \`ts\`, or \`ts no-run: <reason>\``,
    );
}

/**
 * @param {readonly string[]} lines
 * @param {number} start
 * @param {string} fence
 */
function endOf(lines, start, fence) {
  for (let at = start + 1; at < lines.length; at += 1) if (lines[at]?.trim() === fence) return at;
  return lines.length;
}

/**
 * The text of a source file with everything blanked that is not in a doc comment, so that lines keep their number.
 *
 * @param {string} text
 */
function docCommentsOf(text) {
  const lines = text.split("\n").map(() => "");
  for (const { 0: comment, index } of text.matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    const first = text.slice(0, index).split("\n").length - 1;
    for (const [offset, line] of comment.split("\n").entries())
      lines[first + offset] = line.replace(/^\s*\/?\*+\/? ?/, "").replace(/\s*\*\/$/, "");
  }
  return lines;
}
