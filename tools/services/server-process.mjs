// A server of a test's own: started, killed, paused, restarted, and never left behind.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { allGone, freeze, signalAll, withChildren } from "./child-processes.mjs";

/** How long a server may take until it answers, in milliseconds. */
const START_LIMIT_MS = 30_000;
/** How long it may take to end in good order, in milliseconds. */
const STOP_LIMIT_MS = 3_000;
/** How often a server may end right after its start (its port or memory is not free yet). */
const EARLY_ENDS = 5;
const LOG_LINES = 20;

/**
 * @typedef {object} Command
 * @property {string} file
 * @property {readonly string[]} args
 * @property {number} [uid] - Whom to run as.
 * @property {number} [gid]
 */

/** A server process in a home of its own. */
export class ServerProcess {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  #home;
  #log;

  /**
   * @param {string} name - For messages.
   * @param {import("./server-home.mjs").ServerHome} home - Released when the server is stopped.
   * @param {() => Command} command
   * @param {() => Promise<unknown>} probe - Resolves once the server answers.
   */
  constructor(name, home, command, probe) {
    this.name = name;
    this.folder = home.folder;
    this.port = home.port;
    this.command = command;
    this.probe = probe;
    this.#home = home;
    this.#log = join(home.folder, "server.log");
  }

  /** Process ID of the server, 0 while it is down. */
  get pid() {
    return this.#isRunning() ? (this.#child?.pid ?? 0) : 0;
  }

  /**
   * Starts the server and waits until it answers.
   *
   * @throws {Error} When it does not, with the end of its log.
   */
  async start() {
    if (this.#isRunning()) return;
    const giveUpAt = Date.now() + START_LIMIT_MS;
    for (let attempt = 1; ; attempt += 1) {
      this.#spawn();
      if (await this.#answers(giveUpAt)) return;
      await this.kill();
      if (attempt >= EARLY_ENDS) throw new Error(`${this.name} ended ${attempt} times:\n${this.logTail()}`);
      if (Date.now() >= giveUpAt)
        throw new Error(`${this.name} did not answer within ${START_LIMIT_MS} ms:\n${this.logTail()}`);
      await sleep(200);
    }
  }

  /** As `start()`, but nothing stays behind when it fails. */
  async startOrRelease() {
    try {
      await this.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends the server as a power cut would: SIGKILL, to it and to its children. */
  async kill() {
    const child = this.#child;
    if (child?.pid === undefined) return;
    const exited = this.#exited();
    const pids = freeze(this.pid);
    signalAll(pids, "SIGKILL");
    await exited;
    // A child that is still ending would keep a new server from the old one's memory.
    await allGone(pids);
    this.#child = undefined;
    this.#home.guard([]);
  }

  /** Kills it and starts it again, on the same port and data. */
  async restart() {
    await this.kill();
    await this.start();
  }

  /** Freezes it (SIGSTOP): connections stay open and nothing answers. */
  pause() {
    // Its frozen children would not notice its death.
    this.#home.guard(freeze(this.pid));
  }

  /** Lets it go on (SIGCONT). */
  resume() {
    signalAll(withChildren(this.pid), "SIGCONT");
  }

  /** Ends it in good order, or by SIGKILL when it takes too long, and removes its folder. */
  async stop() {
    this.resume();
    const limit = new AbortController();
    if (this.#isRunning()) {
      this.#child?.kill(this.#home.stopSignal);
      await Promise.race([
        this.#exited(),
        sleep(STOP_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => {}),
      ]);
      limit.abort();
    }
    await this.kill();
    this.#home.release();
  }

  /** Ends it, with `await using`. */
  [Symbol.asyncDispose]() {
    return this.stop();
  }

  /** The last lines it logged. */
  logTail() {
    try {
      return readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-LOG_LINES).join("\n");
    } catch {
      return "(no log)";
    }
  }

  #spawn() {
    const { file, args, uid, gid } = this.command();
    const log = openSync(this.#log, "a");
    const child = spawn(file, args, {
      cwd: this.folder,
      stdio: ["ignore", log, log],
      // Out of our process group: Ctrl-C reaches us alone, and we decide.
      detached: true,
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    closeSync(log);
    child.on("error", () => {});
    child.unref();
    this.#child = child;
    this.#home.guard(child.pid === undefined ? [] : [child.pid]);
  }

  /** @returns {Promise<void>} */
  #exited() {
    const child = this.#child;
    if (child === undefined || !this.#isRunning()) return Promise.resolve();
    child.ref();
    return new Promise((resolve) => child.once("exit", () => resolve()));
  }

  #isRunning() {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** @param {number} giveUpAt */
  async #answers(giveUpAt) {
    while (Date.now() < giveUpAt) {
      if (!this.#isRunning()) return false;
      try {
        await this.probe();
        return this.#isRunning();
      } catch {
        await sleep(30);
      }
    }
    return false;
  }
}
