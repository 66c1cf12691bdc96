import { describe, expect, it } from "vitest";
import { houseWith, manifest } from "./house.fixture.mjs";
import { houseRules } from "./rules.mjs";
import { dependenciesWith } from "./rules/dependencies.mjs";
import { installScriptsWith } from "./rules/install-scripts.mjs";

const rules = [
  ...houseRules().filter(({ name }) => name !== "dependencies" && name !== "install-scripts"),
  dependenciesWith({}),
  installScriptsWith({ esbuild: "its binary" }),
];

/** @param {Readonly<Record<string, string>>} [changes] */
function broken(changes) {
  const tree = houseWith(changes);
  return rules.flatMap((rule) =>
    rule.check(tree).map(({ file, message }) => `${rule.name} ${file} ${message}`),
  );
}

/** @param {string} text */
const inCore = (text) => ({ "packages/core/src/verb.ts": text });
/** @param {string} text */
const inTest = (text) => ({ "packages/core/test/verb.test.ts": text });
/** @param {object} changes */
const coreManifest = (changes) => ({
  "packages/core/package.json": JSON.stringify({ ...manifest("core"), ...changes }),
});
const marker = ["TO", "DO"].join("");
const machine = ["", "home", "ann", "x.sock"].join("/");

it("finds nothing in a good tree", () => {
  expect(broken()).toEqual([]);
});

/** @type {[string, string, Record<string, string>, RegExp][]} */
const FAULTS = [
  ["floors", "an import upwards", inCore('import "@holdfast/queue";'), /lower floors only/],
  [
    "floors",
    "a type import upwards",
    inCore('import type { A } from "@holdfast/queue";'),
    /lower floors only/,
  ],
  [
    "floors",
    "a room that knows another below the top",
    { "packages/queue/src/verb.ts": 'import "@holdfast/cache";' },
    /knows only core/,
  ],
  [
    "floors",
    "an entry that is not exported",
    { "packages/queue/src/verb.ts": 'import "@holdfast/core/secret";' },
    /no public entry/,
  ],
  [
    "floors",
    "a path into another package",
    { "packages/queue/src/verb.ts": 'import "../../core/src/verb.ts";' },
    /by its name/,
  ],
  [
    "floors",
    "an import of an example",
    { "packages/queue/src/verb.ts": 'import "../../../examples/chat/src/main.ts";' },
    /nobody imports an example/,
  ],
  ["floors", "a package without a floor", { "packages/extra/src/a.ts": "" }, /has no floor/],
  [
    "cycles",
    "a circle",
    { ...inCore('import "./noun.ts";'), "packages/core/src/noun.ts": 'import "./verb.ts";' },
    /verb\.ts → packages\/core\/src\/noun\.ts → packages\/core\/src\/verb\.ts/,
  ],
  [
    "cycles",
    "a circle of types",
    {
      ...inCore('import type { A } from "./noun.ts";'),
      "packages/core/src/noun.ts": 'import type { B } from "./verb.ts";',
    },
    /circle/,
  ],
  [
    "own-index",
    "an import of the own index",
    inCore('import type { A } from "./index.ts";'),
    /own package's index/,
  ],
  ["own-index", "an import of the own name", inCore('import "@holdfast/core";'), /own package's index/],
  ["banned-calls", "Date.now", inCore("const now = Date.now;"), /clock\.now\(\)/],
  ["banned-calls", "a date of now", inCore("const now = new Date();"), /clock\.now\(\)/],
  ["banned-calls", "performance.now", inCore("globalThis.performance.now();"), /clock\.monotonic\(\)/],
  ["banned-calls", "Math.random", inCore("Math.random();"), /take a random/],
  ["banned-calls", "setTimeout", inCore("setTimeout(run, 1);"), /clock\.setTimer\(\)/],
  ["banned-calls", "setInterval", inCore("globalThis.setInterval(run, 1);"), /clock\.setTimer\(\)/],
  ["banned-calls", "setTimeout handed on", inCore("promisify(setTimeout);"), /clock\.setTimer\(\)/],
  ["banned-calls", "AbortSignal.timeout", inCore("AbortSignal.timeout(1);"), /timeout\(\) policy/],
  [
    "banned-calls",
    "node:timers",
    inCore('import { setTimeout as wait } from "node:timers/promises";'),
    /node:timers is banned/,
  ],
  ["banned-calls", "a bare error", inCore('throw new Error("no");'), /HoldfastError with a code/],
  ["banned-calls", "a clock in an example", { "examples/chat/src/main.ts": "Date.now();" }, /clock\.now\(\)/],
  ["banned-syntax", "a default export", inCore("export default function verb() {}"), /default export/],
  ["banned-syntax", "a default expression", inCore("export default 1;"), /default export/],
  ["banned-syntax", "a default specifier", inCore("export { verb as default };"), /default export/],
  ["banned-syntax", "an enum", inCore("export enum A {}"), /union of string literals/],
  ["banned-syntax", "a namespace", inCore("export namespace A {}"), /namespace/],
  ["banned-syntax", "any", inCore("export const a: any = 1;"), /unknown/],
  ["leftovers", "a marker", inCore(`// ${marker}: later`), /is left/],
  ["leftovers", "a test alone", inTest("it.only('a', run);"), /it\.only is left/],
  ["leftovers", "a test left out", inTest("describe.skip('a', run);"), /describe\.skip is left/],
  ["leftovers", "a test to come", inTest("test.concurrent.todo('a');"), /todo is left/],
  ["file-length", "a long file", inCore("\n".repeat(601)), /601 lines, above 600/],
  ["file-length", "a rather long file", inCore("\n".repeat(401)), /401 lines, above 400/],
  ["file-names", "a name in camel case", { "packages/core/test/retryBudget.test.ts": "" }, /kebab-case/],
  ["dead-files", "a file that nothing imports", { "packages/core/src/noun.ts": "" }, /no entry point/],
  [
    "dead-files",
    "a file that only a test imports",
    { "packages/core/src/noun.ts": "", ...inTest('import "../src/noun.ts";') },
    /no entry point/,
  ],
  [
    "test-imports",
    "a test that reaches into another package",
    { "packages/queue/test/a.test.ts": 'import "../../core/src/verb.ts";' },
    /own|public entry/,
  ],
  [
    "portable-main",
    "a node module behind the main entry",
    inCore('import { join } from "node:path";'),
    /runs anywhere/,
  ],
  [
    "portable-main",
    "an optional peer behind the main entry",
    {
      ...inCore('import { Redis } from "ioredis";'),
      ...coreManifest({
        peerDependencies: { ioredis: "6" },
        peerDependenciesMeta: { ioredis: { optional: true } },
      }),
    },
    /runs anywhere/,
  ],
  ["package-shape", "another license", coreManifest({ license: "ISC" }), /license/],
  ["package-shape", "CommonJS", coreManifest({ type: "commonjs" }), /type must be/],
  ["package-shape", "side effects", coreManifest({ sideEffects: true }), /sideEffects/],
  ["package-shape", "no engines", coreManifest({ engines: {} }), /engines\.node/],
  [
    "package-shape",
    "an install script",
    coreManifest({ scripts: { postinstall: "x" } }),
    /scripts\.postinstall/,
  ],
  [
    "package-shape",
    "published sources",
    coreManifest({ files: ["dist", "src", "test"] }),
    /neither sources nor tests/,
  ],
  [
    "package-shape",
    "an entry without types",
    coreManifest({ exports: { ".": { default: "./dist/index.js" } } }),
    /exports\["\."\] must be/,
  ],
  [
    "package-shape",
    "types that come second",
    coreManifest({ exports: { ".": { default: "./dist/index.js", types: "./dist/index.d.ts" } } }),
    /exports\["\."\] must be/,
  ],
  [
    "entries-agree",
    "an entry that is not bundled",
    { "packages/core/tsup.config.ts": "bundle({});" },
    /bundles nothing/,
  ],
  [
    "entries-agree",
    "a bundled file that is not there",
    { "packages/core/tsup.config.ts": 'bundle({ index: "src/gone.ts" });' },
    /does not exist/,
  ],
  [
    "entries-agree",
    "an entry without a path",
    { "tsconfig.json": "{}" },
    /paths\["@holdfast\/core"\] must be/,
  ],
  [
    "entries-agree",
    "a path without an entry",
    { "tsconfig.json": '{"compilerOptions":{"paths":{"@holdfast/gone":["./a.ts"]}}}' },
    /exported by no package/,
  ],
  [
    "dependencies",
    "a dependency without a reason",
    coreManifest({ dependencies: { "left-pad": "1" } }),
    /no reason/,
  ],
  ["dependencies", "an import that is not declared", inCore('import "left-pad";'), /not declared/],
  [
    "install-scripts",
    "a dependency with an install script",
    { "package-lock.json": '{"packages":{"node_modules/a/node_modules/bcrypt":{"hasInstallScript":true}}}' },
    /bcrypt has an install script/,
  ],
  [
    "machine-paths",
    "a folder of one machine",
    { "docs/guide.md": `Run it in \`${machine}\`.` },
    /one machine/,
  ],
];

describe("a broken rule", () => {
  it.each(FAULTS)("%s sees %s", (rule, _what, changes, message) => {
    const found = broken(changes).filter((one) => one.startsWith(`${rule} `));
    expect(found.join("\n")).toMatch(message);
  });

  it("is shown for every rule there is", () => {
    expect([...new Set(FAULTS.map(([rule]) => rule))].sort()).toEqual(rules.map(({ name }) => name).sort());
  });

  it("is a reason that nothing needs any more", () => {
    expect(dependenciesWith({ gone: "why" }).check(houseWith())).toEqual([
      { file: "tools/tidy/dependencies.json", message: "nothing depends on gone" },
    ]);
  });
});

/** @type {[string, Record<string, string>][]} */
const FINE = [
  [
    "banned names in comments, strings, members and types",
    inCore('// Date.now()\nconst a = "Math.random()";\nserver.setTimeout(1);\ntype T = typeof setTimeout;'),
  ],
  [
    "the clock where time is made",
    { ...inCore('import "./time/a.ts";'), "packages/core/src/time/a.ts": "Date.now(); setTimeout(run, 1);" },
  ],
  ["timers in a page", { "examples/chat/web/page.ts": "setTimeout(run, 1);" }],
  ["an error that its own function catches", inCore("try { throw new TypeError(); } catch { answer(); }")],
  ["a date of a given time", inCore("new Date(clock.now());")],
  ["default in a switch", inCore("switch (a) { default: break; }")],
  ["node: types behind the main entry", inCore('import type { Server } from "node:http";')],
  ["a test of the package's own insides", inTest('import "../src/verb.ts";')],
  [
    "the floor below, and core from anywhere",
    { "packages/gateway/src/verb.ts": 'import "../src/noun.ts";', "packages/gateway/src/noun.ts": "" },
  ],
  [
    "a worker started by its address",
    { ...inCore('new URL("./worker.ts", import.meta.url);'), "packages/core/src/worker.ts": "" },
  ],
  ["a path in an address", { "docs/guide.md": "GET https://example.com/home/ann" }],
];

it.each(FINE)("lets pass %s", (_what, changes) => {
  expect(broken(changes)).toEqual([]);
});
