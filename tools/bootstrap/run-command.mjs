// Child processes: with our terminal, or with their output kept for when they fail.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { root } from "./workspace.mjs";

/**
 * @typedef {object} Outcome
 * @property {number} code - Exit code, 128 + n when signal n ended it.
 * @property {string} output - What it wrote to stdout and stderr, in the order it came.
 * @property {NodeJS.Signals} [interrupted] - The signal that reached us meanwhile, and through us the command.
 */

/** @type {readonly NodeJS.Signals[]} */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP"];
/** How long a command may take to end after a signal, in milliseconds. */
const PATIENCE_MS = 10_000;
/** Output beyond this many characters loses its beginning. */
const OUTPUT_LIMIT = 4_000_000;

/**
 * Runs a command with our own input and output. Signals reach it, its exit code comes back.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<number>}
 */
export function runAttached(command, args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: "inherit" });
    const stopForwarding = forwardSignals((signal) => {
      // A terminal sends Ctrl-C to everybody in front of it; a second one would mean "at once".
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      stopForwarding();
      resolve(exitCode(code, signal));
    });
  });
}

/**
 * Runs a command silently, in a process group of its own, which ends when we are told to.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, uid?: number, gid?: number, limitMs?: number }} [options]
 * @returns {Promise<Outcome>}
 */
export function runQuietly(command, args, { limitMs, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    /** @type {Outcome} */
    const outcome = { code: 1, output: "" };
    const keep = (/** @type {string} */ chunk) => {
      outcome.output = (outcome.output + chunk).slice(-OUTPUT_LIMIT);
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    const end = (/** @type {NodeJS.Signals} */ signal) => {
      killGroup(child.pid, signal);
      setTimeout(() => killGroup(child.pid, "SIGKILL"), PATIENCE_MS).unref();
    };
    const stopForwarding = forwardSignals((signal) => {
      outcome.interrupted = signal;
      end(signal);
    });
    const limit = setTimeout(
      () => {
        keep(`\nended: it ran for longer than ${Number(limitMs) / 1000} s\n`);
        end("SIGTERM");
      },
      limitMs ?? 2 ** 31 - 1,
    );
    child.on("error", (error) => {
      clearTimeout(limit);
      stopForwarding();
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      stopForwarding();
      resolve({ ...outcome, code: exitCode(code, signal) });
    });
  });
}

/**
 * The exit code by which a shell reports a signal.
 *
 * @param {NodeJS.Signals} signal
 */
export function codeOf(signal) {
  return 128 + constants.signals[signal];
}

/**
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function exitCode(code, signal) {
  return code ?? (signal === null ? 1 : codeOf(signal));
}

/**
 * @param {(signal: NodeJS.Signals) => void} forward
 * @returns {() => void} Stops it.
 */
function forwardSignals(forward) {
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}

/**
 * @param {number | undefined} leader
 * @param {NodeJS.Signals} signal
 */
function killGroup(leader, signal) {
  try {
    if (leader !== undefined) process.kill(-leader, signal);
  } catch {
    // It has just ended by itself.
  }
}
