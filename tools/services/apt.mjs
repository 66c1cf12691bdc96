// Debian, root, no server: installs one, without starting it as a service.
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";

/** Debian asks this script whether an installed service may start. */
const START_POLICY = "/usr/sbin/policy-rc.d";

/**
 * Installs a Debian package if this is Debian and we are root.
 *
 * @param {string} name
 * @returns {boolean} Whether it was installed.
 */
export function aptInstall(name) {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return false;
  console.error(`· installing ${name} with apt-get`);
  const guarded = !existsSync(START_POLICY);
  if (guarded) writeFileSync(START_POLICY, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    apt("update", "-qq");
    return apt("install", "-y", "-qq", "--no-install-recommends", name);
  } finally {
    if (guarded) rmSync(START_POLICY, { force: true });
  }
}

/** @param {string[]} args */
function apt(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return spawnSync("apt-get", args, { env, stdio: "ignore", timeout: 5 * 60_000 }).status === 0;
}
