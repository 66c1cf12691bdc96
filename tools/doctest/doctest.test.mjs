import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { extract } from "./extract.mjs";

const cli = fileURLToPath(new URL("cli.mjs", import.meta.url));

/** @param {Readonly<Record<string, string>>} files */
function run(files) {
  const root = mkdtempSync(join(tmpdir(), "doctest-"));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, `--root=${root}`, "--limit-ms=3000"], {
    encoding: "utf8",
  });
  rmSync(root, { recursive: true });
  return { status, lines: (stdout + stderr).trim().split("\n") };
}

/**
 * @param {string} code
 * @param {string} [info]
 */
const block = (code, info = "ts") => `\`\`\`${info}\n${code}\n\`\`\`\n`;

it("runs what is right, from documents and from doc comments", () => {
  const good = [
    "const numbers: number[] = [1, 2]; // => [1, 2]",
    'Promise.resolve; ({ b: 2, a: "x" }); // => { a: "x", b: 2 }',
    'await Promise.resolve("late"); // => "late"',
    "console.log(numbers.length); // => 2",
    '({ id: "x-1", state: "done" }); // => { id: …, state: "done" }',
    'const fail = async (): Promise<void> => { throw Object.assign(new RangeError("no"), { code: "NO_WAY" }); };',
    "await fail(); // => throws NO_WAY",
  ].join("\n");
  const comment = `/**\n * Adds.\n * @example\n * \`\`\`ts\n * 1 + 1; // => 2\n * \`\`\`\n */\nexport const a = 1;\n`;
  const result = run({
    "README.md":
      block(good) + block("declare const redis: string; redis.length;", "ts no-run: needs a Redis"),
    "packages/core/src/a.ts": comment,
  });
  expect(result).toEqual({ status: 0, lines: ["doc examples: 2 run, 1 only type-checked, 0 faults"] });
}, 60_000);

it("reports every kind of wrong example at its line in the document", () => {
  const text = [
    block("\nconst a: string = 1;"),
    block("const a: unknown = 1;\n[a]; // => [2]"),
    block("JSON.parse('{');"),
    block("await Promise.resolve(); // => throws NO_WAY"),
    block("if (Number(1)) { // => 1\n}"),
    block("await new Promise(() => {});"),
    block("a", "ts fragment"),
    block("1;", "ts no-run"),
    block("undeclared;", "ts no-run: needs a Redis"),
  ].join("");
  const { status, lines } = run({ "docs/guide.md": text });
  expect(status).toBe(1);
  expect(lines).toEqual([
    expect.stringMatching(/^docs\/guide\.md:10 SyntaxError: /),
    expect.stringMatching(/^docs\/guide\.md:13 expected throws NO_WAY, got undefined$/),
    expect.stringMatching(/^docs\/guide\.md:16 this `\/\/ =>` stands behind no expression/),
    expect.stringMatching(/^docs\/guide\.md:20 does not end within 3000 ms/),
    expect.stringMatching(/^docs\/guide\.md:22 `ts fragment` is not known/),
    expect.stringMatching(/^docs\/guide\.md:25 `ts no-run` is not known/),
    expect.stringMatching(/^docs\/guide\.md:29 Cannot find name 'undeclared'/),
    expect.stringMatching(/^docs\/guide\.md:3 Type 'number' is not assignable to type 'string'/),
    expect.stringMatching(/^docs\/guide\.md:7 expected \[2\], got \[ 1 \]$/),
    "doc examples: 6 run, 1 only type-checked, 9 faults",
  ]);
}, 60_000);

it("does not take a fence inside a longer fence, nor one outside doc comments", () => {
  expect(extract("a.md", "````md\n```ts\nx\n```\n````\n").examples).toEqual([]);
  expect(extract("a.ts", "// ```ts\n// x\n// ```\n").examples).toEqual([]);
});
