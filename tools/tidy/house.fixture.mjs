// A small repository that keeps every rule, for tests that break one of them.
import { memoryTree } from "./tree.mjs";

/** @param {string} name */
export function manifest(name) {
  return {
    name: `@holdfast/${name}`,
    description: "One sentence.",
    license: "MIT",
    repository: { directory: `packages/${name}` },
    type: "module",
    sideEffects: false,
    engines: { node: ">=20.19" },
    files: ["dist", "README.md", "LICENSE"],
    exports: {
      ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
      "./package.json": "./package.json",
    },
  };
}

/** @param {string} name */
function packageNamed(name) {
  const folder = `packages/${name}`;
  return {
    [`${folder}/package.json`]: JSON.stringify(manifest(name)),
    [`${folder}/README.md`]: "",
    [`${folder}/LICENSE`]: "",
    [`${folder}/tsup.config.ts`]: 'bundle({ index: "src/index.ts" });',
    [`${folder}/src/index.ts`]: 'export { verb } from "./verb.ts";',
    [`${folder}/src/verb.ts`]: "export function verb(): void {}",
  };
}

/**
 * @param {Readonly<Record<string, string>>} [changes] - Files to add or to replace.
 */
export function houseWith(changes = {}) {
  const names = ["core", "cache", "queue", "gateway"];
  const paths = Object.fromEntries(
    names.map((name) => [`@holdfast/${name}`, [`./packages/${name}/src/index.ts`]]),
  );
  return memoryTree({
    ...Object.assign({}, ...names.map(packageNamed)),
    "examples/chat/package.json": JSON.stringify({ scripts: { start: "node src/main.ts" } }),
    "examples/chat/src/main.ts": 'import { verb } from "@holdfast/queue";\nverb();',
    "tsconfig.json": JSON.stringify({ compilerOptions: { paths } }),
    "package-lock.json": JSON.stringify({ packages: { "node_modules/esbuild": { hasInstallScript: true } } }),
    ...changes,
  });
}
