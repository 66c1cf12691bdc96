// Installs the peers, from the lockfile of this folder, when they are missing or of another version.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export function installPeers(folder) {
  const { dependencies } = readJson(join(folder, "package.json"));
  const missing = Object.entries(dependencies).filter(
    ([name, version]) => installed(folder, name) !== version,
  );
  if (missing.length === 0) return;
  console.log(`installing peers: ${missing.map(([name, version]) => `${name}@${version}`).join(", ")}`);
  // Not `npm ci`: it refuses a lockfile without the optional binaries of other platforms, which not every mirror has.
  const { status } = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund"], {
    cwd: folder,
    stdio: "inherit",
    // On Windows npm is a script, which only a shell can run.
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Error("npm install in benchmarks/ failed; the peers cannot be measured");
}

function installed(folder, name) {
  try {
    return readJson(join(folder, "node_modules", name, "package.json")).version;
  } catch {
    return undefined;
  }
}

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}
