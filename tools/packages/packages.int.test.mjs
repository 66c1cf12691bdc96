import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fileListFaults } from "./file-list.mjs";
import { publintFaults, typesFaults } from "./lint.mjs";
import { packBuilt } from "./pack.mjs";
import { entryFaults, installApp, programFaults } from "./scratch.mjs";
import { gzippedSize } from "./size.mjs";

const TIME = 60_000;
const GOOD = {
  "dist/index.js": "export const answer = 42;\n",
  "dist/index.d.ts": "export declare const answer: 42;\n",
};
const PROGRAMS = {
  "small.esm.mjs":
    'import { answer } from "@holdfast/small";\nif (answer !== 42) throw new Error("wrong");\n',
  "small.cjs.cjs": 'if (require("@holdfast/small").answer !== 42) throw new Error("wrong");\n',
  "small.types.ts": 'import { answer } from "@holdfast/small";\nexport const same: 42 = answer;\n',
};
let home = "";

beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), "packages-")));
});
afterEach(() => rmSync(home, { recursive: true }));

/**
 * @param {string} folder
 * @param {Readonly<Record<string, string>>} files
 */
function write(folder, files) {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, folder, file)), { recursive: true });
    writeFileSync(join(home, folder, file), text);
  }
  return join(home, folder);
}

/**
 * @param {Readonly<Record<string, string>>} [files]
 * @param {object} [changes] - Of the manifest.
 */
function packed(files = GOOD, changes = {}) {
  const manifest = {
    name: "@holdfast/small",
    version: "1.0.0",
    license: "MIT",
    type: "module",
    engines: { node: ">=20.19" },
    repository: { type: "git", url: "git+https://github.com/holdfast-sdk/holdfast.git" },
    files: ["dist"],
    exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } },
    ...changes,
  };
  return packBuilt(write("small", { "package.json": JSON.stringify(manifest), ...files }), home);
}

/**
 * @param {import("./pack.mjs").Packed} one
 * @param {Readonly<Record<string, string>>} [programs]
 */
async function tried(one, programs = PROGRAMS) {
  const app = write("app", { ".keep": "" });
  const sources = write("programs", { ".keep": "", ...programs });
  await installApp(app, [one]);
  return [...(await entryFaults(app, [one])), ...(await programFaults(app, ["small"], sources))].join("\n");
}

it(
  "finds nothing in a good package",
  async () => {
    const one = await packed();
    expect(await publintFaults(one)).toEqual([]);
    expect(await typesFaults(one)).toMatchObject({ faults: [] });
    expect(await tried(one)).toBe("");
  },
  TIME,
);

describe("a broken package", () => {
  it(
    "is one whose export is not built",
    async () => {
      await expect(packed({ "dist/index.js": "" })).rejects.toThrow(/dist\/index\.d\.ts, which is not built/);
    },
    TIME,
  );

  it(
    "is one that publint objects to",
    async () => {
      const one = await packed({ ...GOOD, "dist/index.js": "module.exports = 1;\n" });
      expect((await publintFaults(one)).join()).toMatch(/publint: .*CJS/);
    },
    TIME,
  );

  it(
    "is one whose types are wrong",
    async () => {
      const one = await packed({ ...GOOD, "dist/index.d.ts": 'export * from "./gone";\n' });
      expect((await typesFaults(one)).faults.join()).toMatch(/InternalResolutionError/);
    },
    TIME,
  );

  it(
    "is one whose types need the DOM, which a service has not",
    async () => {
      const types = "export const answer: number;\nexport declare const target: HTMLElement | undefined;\n";
      expect(await tried(await packed({ ...GOOD, "dist/index.d.ts": types }))).toMatch(
        /types \(nodenext\): .*HTMLElement/,
      );
    },
    TIME,
  );

  it(
    "is one that cannot be required, since it awaits at its top",
    async () => {
      const one = await packed({
        ...GOOD,
        "dist/index.js": "export const answer = await Promise.resolve(42);\n",
      });
      const faults = await tried(one);
      expect(faults).toMatch(/@holdfast\/small cannot be loaded: .*require/);
      expect(faults).toMatch(/scratch\/small\.cjs\.cjs failed/);
    },
    TIME,
  );

  it.each([
    ["a default export", "export default 1;\nexport const answer = 42;\n", /has a default export/],
    ["nothing to import", "export {};\n", /exports nothing/],
  ])(
    "is one with %s",
    async (_what, code, message) => {
      expect(await tried(await packed({ ...GOOD, "dist/index.js": code }))).toMatch(message);
    },
    TIME,
  );

  it(
    "is one that a program cannot use, from JavaScript or from strict TypeScript under either resolution",
    async () => {
      const one = await packed({
        "dist/index.js": "export const answer = 43;\n",
        "dist/index.d.ts": "export declare const answer: number;\n",
      });
      const faults = await tried(one);
      for (const name of [
        "small.esm.mjs failed",
        "small.cjs.cjs failed",
        "types (nodenext)",
        "types (bundler)",
      ])
        expect(faults).toContain(name);
    },
    TIME,
  );

  it(
    "is one that no program of ours uses",
    async () => {
      expect(await tried(await packed(), {})).toMatch(/has no small\.esm\.mjs/);
    },
    TIME,
  );
});

describe("the file list", () => {
  it("is compared with the committed one, whatever the bundler calls its chunks", () => {
    const snapshot = join(home, "small.txt");
    expect(fileListFaults(["dist/index.js"], snapshot, false)).toEqual([
      expect.stringContaining("no committed"),
    ]);
    fileListFaults(["dist/index.js", "dist/chunk-ABCDEFGH.js"], snapshot, true);
    expect(fileListFaults(["dist/index.js", "dist/chunk-IJKLMNOP.js"], snapshot, false)).toEqual([]);
    expect(fileListFaults(["dist/chunk-IJKLMNOP.js", "test/a.test.ts"], snapshot, false)).toEqual([
      "would newly publish test/a.test.ts",
      "would no longer publish dist/index.js",
    ]);
  });
});

it("measures an import by what it brings along", async () => {
  const folder = write("", {
    "node_modules/small/package.json": '{"type":"module","sideEffects":false,"exports":"./index.js"}',
    "node_modules/small/index.js": `export const a = 1; export const b = ${JSON.stringify(Array.from({ length: 999 }, (_, index) => index * index))};`,
  });
  const one = await gzippedSize({ from: "small", use: "a" }, folder);
  const all = await gzippedSize({ from: "small", use: "*" }, folder);
  expect(one).toBeLessThan(100);
  expect(all).toBeGreaterThan(1_000);
});
