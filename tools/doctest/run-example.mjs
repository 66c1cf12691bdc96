// Runs one example in a process of its own, against the built packages.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { withAssertions } from "./assertions.mjs";

const EXPECT = new URL("expect.mjs", import.meta.url).href;

/** @typedef {import("./extract.mjs").Example} Example */

/**
 * @param {string} folder - Where the example is written; the packages it imports are found from there.
 * @param {number} index
 * @param {Example} example
 * @param {number} limitMs
 * @returns {Promise<string[]>} Each fault with its place in the document.
 */
export async function runExample(folder, index, example, limitMs) {
  const { code, faults } = withAssertions(example.code);
  /** @param {number} line - Of the example, from 0. */
  const at = (line) => `${example.file}:${example.line + line}`;
  if (faults.length > 0) return faults.map(({ line, message }) => `${at(line)} ${message}`);

  const name = `example-${index}`;
  // On the first and the last line, so that lines keep their number.
  const head = `import { doctest as __doctest } from ${JSON.stringify(EXPECT)}; `;
  const tail = "\n__doctest.end();";
  const { outputText } = ts.transpileModule(head + code + tail, {
    fileName: `${name}.ts`,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
  });
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, outputText);
  const { status, output } = await spawned(file, limitMs);
  if (status === 0) return [];
  if (status === undefined)
    return [`${at(0)} does not end within ${limitMs} ms: settle what it awaits, close what it opens`];
  const mismatch = /^Mismatch(?: \[Error\])?: @(\d+) (.*)$/m.exec(output);
  if (mismatch !== null) return [`${at(Number(mismatch[1]))} ${mismatch[2]}`];
  const line = new RegExp(`${name}\\.ts:(\\d+)`).exec(output)?.[1] ?? "1";
  const message = /^\w*(?:Error|Exception)\b.*$/m.exec(output)?.[0] ?? output.trim().slice(0, 500);
  return [`${at(Number(line) - 1)} ${message}`];
}

/**
 * @param {string} file
 * @param {number} limitMs
 * @returns {Promise<{ status: number | undefined, output: string }>} No status when it ran too long.
 */
function spawned(file, limitMs) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--enable-source-maps", file], {
      cwd: tmpdir(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    let late = false;
    child.stderr.on("data", (chunk) => {
      if (output.length < 20_000) output += chunk;
    });
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, limitMs);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ status: late ? undefined : (code ?? 1), output });
    });
  });
}
