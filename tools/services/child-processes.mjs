// A server's process and those it forked.
import { readdirSync, readFileSync } from "node:fs";

/**
 * A process and its children. PostgreSQL puts each backend into a session of its own, so a process group would
 * miss them.
 *
 * @param {number} pid
 * @returns {number[]} Empty for 0; without /proc only the process itself.
 */
export function withChildren(pid) {
  if (pid === 0) return [];
  if (process.platform !== "linux") return [pid];
  const children = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && parentOf(entry) === pid);
  return [pid, ...children.map(Number)];
}

/**
 * Sends a signal to all of them that still exist.
 *
 * @param {readonly number[]} pids
 * @param {NodeJS.Signals} name
 */
export function signalAll(pids, name) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has just ended by itself.
    }
  }
}

/** @param {string} pid */
function parentOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
}
