// Installs and builds what is missing or out of date, and nothing else.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fingerprint, isStamped, stamped } from "./fingerprint.mjs";
import { withLock } from "./lock.mjs";
import { codeOf, runQuietly } from "./run-command.mjs";
import { root, workspaces } from "./workspace.mjs";

/** Files whose change means that everything is built again. */
const SHARED = ["tsup.base.ts", "tsconfig.base.json", "package-lock.json"].map((file) => join(root, file));
/** Longest install or build, in milliseconds. */
const LIMIT_MS = 15 * 60_000;

/** An install or a build did not succeed; the message holds what it printed. */
export class PrepareError extends Error {
  /**
   * @param {string} message
   * @param {number} exitCode - What our own process should end with.
   */
  constructor(message, exitCode) {
    super(message);
    this.name = "PrepareError";
    this.exitCode = exitCode;
  }
}

/**
 * Makes sure that dependencies are installed and every workspace is built.
 *
 * @throws {PrepareError} When an install or a build fails or is interrupted.
 */
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
  console.error("· installing dependencies");
  // Not `npm ci`: it refuses a lockfile that lacks optional binaries of other platforms, which npm leaves out
  // when its registry does not carry them. This takes the locked versions too, and leaves the lockfile alone.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--include=dev", "--include=optional"];
  await stamped(stampFile, print, () => step("installing", "npm", args, root));
}

/** Builds level by level: what does not need each other builds at the same time. */
async function buildIfNeeded() {
  /** @type {Map<string, string>} Name → fingerprint, of those that are up to date. */
  const done = new Map();
  let rest = workspaces();
  while (rest.length > 0) {
    const ready = rest.filter(({ needs }) => needs.every((name) => done.has(name)));
    // All of them end before the first failure is thrown: nothing builds on after the lock is given back.
    const ended = await Promise.allSettled(
      ready.map(async (one) => done.set(one.name, await build(one, done))),
    );
    for (const one of ended) if (one.status === "rejected") throw one.reason;
    rest = rest.filter((one) => !ready.includes(one));
  }
}

/**
 * @param {import("./workspace.mjs").Workspace} workspace
 * @param {ReadonlyMap<string, string>} done
 */
async function build({ name, folder, builds, needs }, done) {
  const print = fingerprint([...SHARED, folder], needs.map((need) => done.get(need)).join());
  const stampFile = join(root, ".cache", "builds", name.replace("/", "__"));
  if (builds && !(existsSync(join(folder, "dist")) && isStamped(stampFile, print)))
    await stamped(stampFile, print, () =>
      step(`building ${name}`, "npm", ["run", "--silent", "build"], folder),
    );
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
  const { code, output, interrupted } = await runQuietly(command, args, { cwd, limitMs: LIMIT_MS });
  if (interrupted !== undefined)
    throw new PrepareError(`${title}: interrupted by ${interrupted}`, codeOf(interrupted));
  if (code !== 0) throw new PrepareError(`${title} failed:\n${output}`, 1);
  // Not on stdout: that belongs to what is started afterwards.
  console.error(`· ${title}: ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}
