// Debian, root, no server: installs one, without starting it as a service.
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { runQuietly } from "../bootstrap/run-command.mjs";

/** Debian asks this script whether an installed service may start. */
const START_POLICY = "/usr/sbin/policy-rc.d";
/** Longest installation, in milliseconds. */
const LIMIT_MS = 5 * 60_000;
/** How long to wait for another installation on this machine, in seconds. */
const LOCK_WAIT_SECONDS = 120;

/** Whether `aptInstall` can work here. */
export function hasApt() {
  return process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
}

/**
 * Installs a Debian package; no service of it is started.
 *
 * @param {string} name
 * @returns {Promise<void>}
 * @throws {Error} With what apt-get printed, when it fails.
 */
export async function aptInstall(name) {
  console.error(`· installing ${name} with apt-get`);
  const guarded = !existsSync(START_POLICY);
  if (guarded) writeFileSync(START_POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    // What is known already may be enough to install from.
    await apt("update", "-qq").catch(() => {});
    await apt("install", "-y", "-qq", "--no-install-recommends", name);
  } finally {
    if (guarded) rmSync(START_POLICY, { force: true });
  }
}

/** @param {string[]} args */
async function apt(...args) {
  const { code, output } = await runQuietly(
    "apt-get",
    ["-o", `DPkg::Lock::Timeout=${LOCK_WAIT_SECONDS}`, ...args],
    { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }, limitMs: LIMIT_MS },
  );
  if (code !== 0) throw new Error(`apt-get ${args.join(" ")} failed:\n${output.slice(-2_000)}`);
}
