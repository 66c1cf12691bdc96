// A server of a test's own: started, killed, paused, restarted, and never left behind.
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a server may take until it answers, in milliseconds. */
const START_LIMIT_MS = 30_000;

/**
 * @typedef {object} Command
 * @property {string} file
 * @property {readonly string[]} args
 * @property {number} [uid] - Whom to run as.
 * @property {number} [gid]
 */

/** A server process with a folder of its own. */
export class ServerProcess {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  /** @type {import("node:child_process").ChildProcess} */
  #guard;
  #log;
  #pidFile;

  /**
   * @param {string} name - For messages.
   * @param {string} folder - Removed when the server is stopped, or when this process dies.
   * @param {() => Command} command
   * @param {() => Promise<unknown>} probe - Resolves once the server answers.
   */
  constructor(name, folder, command, probe) {
    this.name = name;
    this.folder = folder;
    this.command = command;
    this.probe = probe;
    this.#log = join(folder, "server.log");
    this.#pidFile = join(folder, "guarded.pid");
    this.#guard = startGuard(folder, this.#pidFile);
  }

  /** Process ID of the server, 0 while it is down. */
  get pid() {
    return this.#child?.pid ?? 0;
  }

  /** Starts the server and waits until it answers. */
  async start() {
    const giveUpAt = Date.now() + START_LIMIT_MS;
    for (;;) {
      this.#spawn();
      if (await this.#answers(giveUpAt)) return;
      await this.kill();
      if (Date.now() > giveUpAt)
        throw new Error(`${this.name} did not start within ${START_LIMIT_MS} ms:\n${this.logTail()}`);
      await sleep(200);
    }
  }

  /** Ends the server as a power cut would: SIGKILL, to it and to its children. */
  async kill() {
    const child = this.#child;
    if (child?.pid === undefined) return;
    this.#child = undefined;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const running = child.exitCode === null && child.signalCode === null;
    for (const pid of [child.pid, ...childrenOf(child.pid)]) signal(pid, "SIGKILL");
    if (running) await exited;
  }

  /** Kills it and starts it again, on the same port and data. */
  async restart() {
    await this.kill();
    await this.start();
  }

  /** Freezes it (SIGSTOP): connections stay open and nothing answers. */
  pause() {
    for (const pid of [this.pid, ...childrenOf(this.pid)]) signal(pid, "SIGSTOP");
  }

  /** Lets it go on (SIGCONT). */
  resume() {
    for (const pid of [this.pid, ...childrenOf(this.pid)]) signal(pid, "SIGCONT");
  }

  /** Ends it and removes its folder. */
  async stop() {
    await this.kill();
    this.#guard.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The last lines it logged. */
  logTail() {
    try {
      return readFileSync(this.#log, "utf8").split("\n").slice(-20).join("\n");
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
    writeFileSync(this.#pidFile, String(child.pid));
  }

  /** @param {number} giveUpAt */
  async #answers(giveUpAt) {
    while (Date.now() < giveUpAt) {
      if (this.#child?.exitCode !== null || this.#child.signalCode !== null) return false;
      try {
        await this.probe();
        return true;
      } catch {
        await sleep(30);
      }
    }
    return false;
  }
}

/**
 * A new folder for a server.
 *
 * @param {string} name
 */
export function newFolder(name) {
  return mkdtempSync(join(tmpdir(), `holdfast-${name}-`));
}

/** A loopback port that is free now. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/**
 * Resolves once `question`, sent to a loopback port, is answered with something that begins with `answer`.
 *
 * @param {number} port
 * @param {string | Uint8Array} question
 * @param {string} answer
 * @returns {Promise<void>}
 */
export function ask(port, question, answer) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(question));
    socket.setTimeout(1_000, () => socket.destroy(new Error("no answer")));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
    socket.on("data", (data) => {
      if (data.toString("latin1").startsWith(answer)) resolve();
      else reject(new Error(`unexpected answer ${data.toString("latin1")}`));
      socket.destroy();
    });
  });
}

// Waits on a pipe from us. However we end, the pipe closes, and the guard kills what is left and cleans up.
/**
 * @param {string} folder
 * @param {string} pidFile
 */
function startGuard(folder, pidFile) {
  const script = 'cat >/dev/null; kill -9 $(cat "$1") 2>/dev/null; sleep 0.2; rm -rf "$2"';
  const guard = spawn("sh", ["-c", script, "guard", pidFile, folder], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.unref();
  const pipe = /** @type {import("node:net").Socket} */ (/** @type {unknown} */ (guard.stdin));
  pipe.on("error", () => {});
  pipe.unref();
  return guard;
}

// PostgreSQL puts each backend into a session of its own, so a process group would miss them.
/**
 * @param {number} parent
 * @returns {number[]}
 */
function childrenOf(parent) {
  if (parent === 0 || process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => parentOf(entry) === parent)
    .map(Number);
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

/**
 * @param {number} pid
 * @param {NodeJS.Signals} name
 */
function signal(pid, name) {
  try {
    if (pid > 0) process.kill(pid, name);
  } catch {
    // It has just ended by itself.
  }
}
