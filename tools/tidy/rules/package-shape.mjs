// Every package.json has the same shape.
import { packagesOf, SCOPE } from "../layout.mjs";

const INSTALL_SCRIPTS = ["preinstall", "install", "postinstall", "prepare", "prepublish"];
const FILES = ["dist", "README.md", "LICENSE"];

/** @type {import("../tree.mjs").Rule} */
export const packageShape = {
  name: "package-shape",
  check(tree) {
    return packagesOf(tree).flatMap(({ name, folder, manifest }) =>
      faultsOf(name, manifest)
        .concat(FILES.slice(1).flatMap((file) => (tree.has(`${folder}/${file}`) ? [] : [`has no ${file}`])))
        .map((message) => ({ file: `${folder}/package.json`, message })),
    );
  },
};

/**
 * @param {string} name
 * @param {any} manifest
 * @returns {string[]}
 */
function faultsOf(name, manifest) {
  /** @type {[boolean, string][]} */
  const wants = [
    [manifest.name === SCOPE + name, `name must be ${SCOPE}${name}, as its folder`],
    [manifest.license === "MIT", 'license must be "MIT"'],
    [manifest.type === "module", 'type must be "module"'],
    [manifest.sideEffects === false, "sideEffects must be false"],
    [manifest.engines?.node === ">=20.19", 'engines.node must be ">=20.19"'],
    [typeof manifest.description === "string" && manifest.description !== "", "description is missing"],
    [
      manifest.repository?.directory === `packages/${name}`,
      `repository.directory must be "packages/${name}"`,
    ],
    [
      JSON.stringify(manifest.files) === JSON.stringify(FILES),
      `files must be ${JSON.stringify(FILES)}: neither sources nor tests are published`,
    ],
    [manifest.main === undefined, "main does not belong here: exports does"],
    [
      Object.keys(manifest.bin ?? {}).every((bin) => bin === `holdfast-${name}`) &&
        Object.values(manifest.bin ?? {}).every((file) => file === "dist/cli.js"),
      `bin may be {"holdfast-${name}":"dist/cli.js"} alone`,
    ],
    [manifest.exports?.["."] !== undefined, 'exports has no "."'],
    [
      manifest.exports?.["./package.json"] === "./package.json",
      'exports["./package.json"] must be "./package.json"',
    ],
  ];
  const scripts = INSTALL_SCRIPTS.filter((script) => script in (manifest.scripts ?? {}));
  return [
    ...wants.flatMap(([met, message]) => (met ? [] : [message])),
    ...scripts.map((script) => `scripts.${script} runs on install: no package of ours does`),
    ...Object.entries(manifest.exports ?? {}).flatMap(([entry, target]) => entryFaults(entry, target)),
  ];
}

/**
 * @param {string} entry
 * @param {any} target
 */
function entryFaults(entry, target) {
  if (entry === "./package.json") return [];
  const name = entry === "." ? "index" : entry.slice(2);
  const wanted = { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` };
  // As text, since conditions count in order: types first.
  if (JSON.stringify(target) === JSON.stringify(wanted)) return [];
  return [`exports["${entry}"] must be ${JSON.stringify(wanted)}`];
}
