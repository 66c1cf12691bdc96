// Installs and builds what is missing or out of date, and nothing else.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fingerprint, isStamped, stamp } from "./fingerprint.mjs";
import { withLock } from "./lock.mjs";
import { runQuietly } from "./run-command.mjs";
import { root, workspaces } from "./workspace.mjs";

/** Files whose change means that everything is built again. */
const SHARED = ["tsup.base.ts", "tsconfig.base.json", "package-lock.json"].map((file) => join(root, file));

/** Makes sure that dependencies are installed and every workspace is built. */
export async function prepare() {
  await withLock(join(root, ".cache", "bootstrap.lock"), async () => {
    await installIfNeeded();
    await buildIfNeeded();
  });
}

async function installIfNeeded() {
  const manifests = [root, ...workspaces().map(({ folder }) => folder)].map((folder) =>
    join(folder, "package.json"),
  );
  const print = fingerprint([join(root, "package-lock.json"), ...manifests]);
  const stampFile = join(root, "node_modules", ".holdfast-install");
  if (isStamped(stampFile, print)) return;
  // Not `npm ci`: it refuses a lockfile that lacks optional binaries of other platforms, which npm leaves out
  // when its registry does not carry them. This takes the locked versions too, and leaves the lockfile alone.
  await step("installing", "npm", ["install", "--no-save", "--no-audit", "--no-fund"], root);
  stamp(stampFile, print);
}

/** Builds level by level: what does not need each other builds at the same time. */
async function buildIfNeeded() {
  /** @type {Map<string, string>} Name → fingerprint, of those that are up to date. */
  const done = new Map();
  let rest = workspaces();
  while (rest.length > 0) {
    const ready = rest.filter(({ needs }) => needs.every((name) => done.has(name)));
    await Promise.all(ready.map(async (one) => done.set(one.name, await build(one, done))));
    rest = rest.filter((one) => !ready.includes(one));
  }
}

/**
 * @param {import("./workspace.mjs").Workspace} workspace
 * @param {ReadonlyMap<string, string>} done
 */
async function build({ name, folder, builds, needs }, done) {
  const print = fingerprint(
    [...SHARED, folder],
    needs.map((need) => done.get(need)).join() + process.version,
  );
  const stampFile = join(root, ".cache", "builds", name.replace("/", "__"));
  if (builds && !(existsSync(join(folder, "dist")) && isStamped(stampFile, print))) {
    await step(`building ${name}`, "npm", ["run", "--silent", "build"], folder);
    stamp(stampFile, print);
  }
  return print;
}

/**
 * @param {string} title
 * @param {string} command
 * @param {readonly string[]} args
 * @param {string} cwd
 */
async function step(title, command, args, cwd) {
  const startedAt = Date.now();
  const { code, output } = await runQuietly(command, args, { cwd });
  if (code !== 0) throw new Error(`${title} failed:\n${output}`);
  console.log(`· ${title}: ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}
