// What a test's server lives in: a folder and a port, given back even when we are killed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimPort } from "./ports.mjs";

/** What may be mounted in such a folder. */
export const DISK = "disk";

/**
 * @typedef {object} ServerHome
 * @property {string} folder - Empty at first.
 * @property {number} port - On 127.0.0.1.
 * @property {NodeJS.Signals} stopSignal - What ends such a server in good order.
 * @property {(pids: readonly number[]) => void} guard - Names the processes to end when we die.
 * @property {() => void} release - Removes the folder and gives the port back.
 */

// Waits on a pipe from us, and gets its end however we end. Then it ends what is left and cleans up. A frozen
// process takes no signal but the last one.
const GUARD = `
while read -r _; do :; done
kill -"$1" $(cat "$2") 2>/dev/null
sleep 0.5
kill -KILL $(cat "$2") 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
  umount "$3/$5" 2>/dev/null
  rm -rf "$3" "$4" 2>/dev/null && exit
  sleep 0.2
done`;

/**
 * @param {string} name - Part of the folder's name.
 * @param {NodeJS.Signals} stopSignal
 * @param {{ first: number, last: number }} [range] - Of its port.
 * @returns {Promise<ServerHome>}
 */
export async function serverHome(name, stopSignal, range) {
  const { port, claim } = await claimPort(range);
  const folder = mkdtempSync(join(tmpdir(), `holdfast-${name}-`));
  const pidFile = join(folder, "guarded.pids");
  writeFileSync(pidFile, "");
  const guard = spawn(
    "sh",
    ["-c", GUARD, "guard", stopSignal.replace("SIG", ""), pidFile, folder, claim, DISK],
    {
      stdio: ["pipe", "ignore", "ignore"],
      // Out of our process group: Ctrl-C is not for it.
      detached: true,
    },
  );
  guard.on("error", () => {});
  guard.unref();
  const pipe = /** @type {import("node:net").Socket} */ (/** @type {unknown} */ (guard.stdin));
  pipe.on("error", () => {});
  pipe.unref();
  return {
    folder,
    port,
    stopSignal,
    guard: (pids) => writeFileSync(pidFile, pids.join(" ")),
    release: () => {
      guard.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      rmSync(claim, { force: true });
    },
  };
}
