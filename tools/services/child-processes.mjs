// A server's process and those it forked.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How long killed processes may take to be gone, in milliseconds. */
const END_LIMIT_MS = 5_000;
/** How long a process may take to stand still, in milliseconds: it may be about to fork. */
const FREEZE_LIMIT_MS = 100;
/** States of a process that does not. */
const RUNS = /[RSD]/;

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

/**
 * Freezes a process and its children: the process first, so that it cannot fork one that would be missed.
 *
 * @param {number} pid
 * @returns {number[]} As {@link withChildren}.
 */
export function freeze(pid) {
  if (pid === 0) return [];
  signalAll([pid], "SIGSTOP");
  const giveUpAt = Date.now() + FREEZE_LIMIT_MS;
  while (RUNS.test(statOf(pid)[0] ?? "") && Date.now() < giveUpAt);
  const pids = withChildren(pid);
  signalAll(pids, "SIGSTOP");
  return pids;
}

/**
 * Resolves once none of these runs any more, and so holds neither memory nor files.
 *
 * @param {readonly number[]} pids - Killed already.
 */
export async function allGone(pids) {
  const giveUpAt = Date.now() + END_LIMIT_MS;
  while (pids.some((pid) => !isOver(pid)) && Date.now() < giveUpAt) await sleep(5);
}

/** @param {number} pid */
function isOver(pid) {
  const [state] = statOf(pid);
  // A zombie, which has nothing left but its number.
  return state === undefined || state === "Z" || state === "X";
}

/** @param {string} pid */
function parentOf(pid) {
  return Number(statOf(pid)[1] ?? 0);
}

/**
 * State, parent, and so on; empty when there is no such process, or no /proc.
 *
 * @param {string | number} pid
 * @returns {string[]}
 */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
