import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readRows } from "./collect.mjs";
import { row } from "./row.mjs";
import { tagsOfTest } from "./tags.mjs";

const cli = fileURLToPath(new URL("cli.mjs", import.meta.url));
const IMPORT = 'import { row } from "../../../tools/systems/row.mjs";\n';
let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "systems-"));
  write("docs/guide.md", "# Decisions\n<!-- row 23 -->\n");
  write("packages/core/test/health.test.ts", `${IMPORT}it(row([75], "reports every dependency"), () => {});`);
});
afterEach(() => rmSync(root, { recursive: true }));

/**
 * @param {string} file
 * @param {string} text
 */
function write(file, text) {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

/** @param {...string} args */
function run(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, `--root=${root}`, ...args], {
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

describe("the tag", () => {
  it("puts the rows before the title", () => {
    expect(row(75, "reports")).toBe("[row 75] reports");
    expect(row([73, 74], "trips")).toBe("[row 73, 74] trips");
  });

  it("refuses a row that does not exist", () => {
    expect(() => row(189, "reports")).toThrow("no row 189");
    expect(() => row([], "reports")).toThrow(RangeError);
  });

  it("knows all 188 rows", () => {
    expect(readRows().map((one) => one.row)).toEqual(Array.from({ length: 188 }, (_, index) => index + 1));
  });

  it("is found in a title with placeholders, and not in a comment or a string", () => {
    const text = `${IMPORT}it(row(74, \`waits \${ms}\`), run); // row(1, "no")\nconst a = "row(2, 'no')";`;
    expect(tagsOfTest("a.test.ts", text).tags.map(({ rows, title }) => [rows, title])).toEqual([
      [[74], "waits ${ms}"],
    ]);
  });
});

describe("the matrix", () => {
  it("shows a tagged row with its test and place, and an untagged one as open", () => {
    expect(run()).toMatchObject({ status: 0, output: "systems: 2 of 188 rows shown by a test\n" });
    const text = readFileSync(join(root, "docs/systems.md"), "utf8");
    expect(text).toMatch(/^\| 75 \|.*reports every dependency.*health\.test\.ts.*`@holdfast\/core` \|$/m);
    expect(text).toMatch(/^\| 76 \|.*\*\*open\*\*/m);
    expect(run("--check").status).toBe(0);
  });

  it("fails the check when a test changed since", () => {
    run();
    write("packages/core/test/retry.test.ts", `${IMPORT}it(row(74, "waits"), () => {});`);
    expect(run("--check")).toMatchObject({ status: 1, output: expect.stringContaining("stale") });
  });

  it("fails on a row that does not exist", () => {
    write("packages/core/test/retry.test.ts", `${IMPORT}it(row(500, "waits"), () => {});`);
    expect(run("--check")).toMatchObject({ status: 1, output: expect.stringContaining("no row 500") });
  });

  it("fails on a tag that cannot be read without running the test", () => {
    write("packages/core/test/retry.test.ts", `${IMPORT}it(row(number, "waits"), () => {});`);
    expect(run()).toMatchObject({ status: 1, output: expect.stringContaining("retry.test.ts:2") });
  });

  it("does not let a document stand for a behaviour", () => {
    write("docs/guide.md", "<!-- row 75 -->\n");
    expect(run()).toMatchObject({ status: 1, output: expect.stringContaining("a test must show it") });
  });
});
