import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const repository = fileURLToPath(new URL("../..", import.meta.url));
let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "oxlint-"));
  copyFileSync(join(repository, ".oxlintrc.json"), join(root, ".oxlintrc.json"));
  const compilerOptions = { strict: true, target: "es2022", module: "esnext", moduleResolution: "bundler" };
  write(
    "tsconfig.json",
    JSON.stringify({ compilerOptions: { ...compilerOptions, types: [], noEmit: true } }),
  );
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

/** @param {string} text - Of a package's source file. */
function lint(text) {
  write("packages/core/src/verb.ts", text);
  const args = [
    join(repository, "node_modules/oxlint/bin/oxlint"),
    "--type-aware",
    "--deny-warnings",
    "-f",
    "unix",
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

const LATER = "export async function later(): Promise<boolean> { return true; }\n";

it("lets good code pass", () => {
  expect(lint(`${LATER}export async function verb(): Promise<void> { await later(); }\n`)).toMatchObject({
    status: 0,
  });
});

it.each([
  ["a promise nobody waits for", `${LATER}export function verb(): void { later(); }`, "no-floating-promises"],
  [
    "a promise taken for a truth",
    `${LATER}export function verb(): number { if (later()) return 1; return 2; }`,
    "no-misused-promises",
  ],
  ["any", "export const verb: any = 1;", "no-explicit-any"],
  ["a default export", "export default function verb(): void {}", "no-default-export"],
  [
    "a type imported as a value",
    'import { Noun } from "./noun.ts";\nexport const verb: Noun = 1;',
    "consistent-type-imports",
  ],
  [
    "a circle of imports",
    'import { noun } from "./noun.ts";\nexport const verb = (): number => noun();',
    "no-cycle",
  ],
  [
    "a case that is left out",
    'export function verb(a: "x" | "y"): number { switch (a) { case "x": return 1; }\nreturn 2; }',
    "switch-exhaustiveness-check",
  ],
])("refuses %s", (_what, text, rule) => {
  write(
    "packages/core/src/noun.ts",
    'import { verb } from "./verb.ts";\nexport type Noun = number;\nexport const noun = (): number => Number(verb);\n',
  );
  expect(lint(text)).toMatchObject({ status: 1, output: expect.stringContaining(rule) });
});
