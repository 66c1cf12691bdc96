// An application outside the repository that installs the tarballs and uses them as a user would.
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pack } from "./pack.mjs";

/** @typedef {import("./pack.mjs").Packed} Packed */

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const SOURCES = fileURLToPath(new URL("scratch", import.meta.url));
const run = promisify(execFile);

/**
 * Installs without a network: what the packages depend on is packed from what the repository has installed.
 *
 * @param {string} app - Its folder.
 * @param {readonly Packed[]} packed
 */
export async function installApp(app, packed) {
  const tarballs = join(app, "tarballs");
  mkdirSync(tarballs, { recursive: true });
  const ours = new Set(packed.map(({ name }) => name));
  /** @type {Record<string, string>} */
  const dependencies = Object.fromEntries(packed.map(({ name, tarball }) => [name, `file:${tarball}`]));
  for (const name of foreignDependencies(packed, ours))
    dependencies[name] = `file:${(await packInstalled(name, tarballs)).tarball}`;
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "scratch", private: true, dependencies }));
  const args = ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", [...args, "--legacy-peer-deps"], { cwd: app });
}

/**
 * Imports and requires every entry, and finds the same thing behind both.
 *
 * @param {string} app
 * @param {readonly Packed[]} packed
 * @returns {Promise<string[]>}
 */
export async function entryFaults(app, packed) {
  copyFileSync(join(SOURCES, "entries.mjs"), join(app, "entries.mjs"));
  const entries = packed.flatMap(({ name, manifest }) =>
    Object.keys(manifest.exports)
      .filter((entry) => entry !== "./package.json")
      .map((entry) => ({
        specifier: name + entry.slice(1),
        peers: Object.keys(manifest.peerDependencies ?? {}),
      })),
  );
  const { stdout } = await run(process.execPath, ["entries.mjs", JSON.stringify(entries)], { cwd: app });
  return JSON.parse(stdout);
}

/**
 * Runs the `.mjs` and `.cjs` programs of tools/packages/scratch, and checks the types of its `.ts` ones.
 *
 * @param {string} app
 * @param {readonly string[]} names - Of packages, without the scope.
 * @param {string} [sources]
 * @returns {Promise<string[]>}
 */
export async function programFaults(app, names, sources = SOURCES) {
  /** @type {string[]} */
  const faults = [];
  const all = readdirSync(sources);
  for (const file of all) copyFileSync(join(sources, file), join(app, file));
  const programs = all.filter((file) => names.includes(file.split(".")[0] ?? ""));
  for (const name of names)
    for (const kind of [".esm.mjs", ".cjs.cjs", ".types.ts"])
      if (!programs.includes(name + kind)) faults.push(`tools/packages/scratch has no ${name}${kind}`);
  for (const file of programs.filter((one) => /\.[mc]js$/.test(one)))
    await run(process.execPath, [file], { cwd: app, timeout: 30_000 }).catch((error) => {
      faults.push(
        `scratch/${file} failed: ${String(error.stderr || error.message)
          .trim()
          .slice(0, 800)}`,
      );
    });
  const typed = programs.filter((file) => file.endsWith(".ts"));
  if (typed.length > 0)
    for (const [module, resolution] of /** @type {const} */ ([
      ["nodenext", "nodenext"],
      ["esnext", "bundler"],
    ]))
      faults.push(...(await typeFaults(app, typed, module, resolution)));
  return faults;
}

/**
 * @param {string} app
 * @param {readonly string[]} files
 * @param {string} module
 * @param {string} moduleResolution
 */
async function typeFaults(app, files, module, moduleResolution) {
  const config = `tsconfig.${moduleResolution}.json`;
  const compilerOptions = {
    module,
    moduleResolution,
    target: "es2022",
    // A service has no DOM: what of it Node's own types lack may not be in our declarations.
    lib: ["es2023", "esnext.disposable", ...(module === "nodenext" ? [] : ["dom", "dom.iterable"])],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    // Our declarations must hold by themselves.
    skipLibCheck: false,
    noEmit: true,
    typeRoots: [join(MODULES, "@types")],
    types: ["node"],
  };
  // The programs are modules; without this, nodenext would take them for CommonJS.
  const manifest = JSON.parse(readFileSync(join(app, "package.json"), "utf8"));
  writeFileSync(join(app, "package.json"), JSON.stringify({ ...manifest, type: "module" }));
  writeFileSync(join(app, config), JSON.stringify({ compilerOptions, files }));
  const args = [join(MODULES, "typescript/bin/tsc"), "-p", config, "--pretty", "false"];
  return run(process.execPath, args, { cwd: app }).then(
    () => [],
    (error) => [`types (${moduleResolution}): ${String(error.stdout).trim().slice(0, 1500)}`],
  );
}

/**
 * @param {readonly Packed[]} packed
 * @param {ReadonlySet<string>} ours
 */
function foreignDependencies(packed, ours) {
  /** @type {Set<string>} */
  const names = new Set();
  const rest = packed.flatMap(({ manifest }) => Object.keys(manifest.dependencies ?? {}));
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    if (ours.has(name) || names.has(name)) continue;
    names.add(name);
    const manifest = JSON.parse(readFileSync(join(MODULES, name, "package.json"), "utf8"));
    rest.push(...Object.keys(manifest.dependencies ?? {}));
  }
  return names;
}

/**
 * @param {string} name
 * @param {string} into
 */
function packInstalled(name, into) {
  const folder = join(MODULES, name);
  if (!existsSync(folder)) throw new Error(`${name} is not installed in ${dirname(folder)}`);
  return pack(folder, into);
}
