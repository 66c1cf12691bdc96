// A program of ours from the outside, for tests and soaks: started, asked, killed, frozen.
import { fork } from "node:child_process";

const ANSWER_MS = 20_000;

export class AskedProcess {
  #asks = 0;
  /** @type {Map<number, { resolve(value: any): void, reject(error: unknown): void }>} */
  #open = new Map();
  #process;

  /**
   * @param {string} program
   * @param {readonly string[]} args
   * @param {(id: string, fence: number) => void} [onRun] - Told of every run of a task.
   */
  constructor(program, args, onRun = () => {}) {
    this.#process = fork(program, [...args], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      execArgv: ["--expose-gc"],
    });
    this.ready = new Promise((resolve) => this.#process.once("message", resolve));
    this.exited = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.on("message", (/** @type {any} */ message) => {
      if (message.run !== undefined) onRun(message.run, message.fence);
      const asked = this.#open.get(message.ask);
      if (asked === undefined) return;
      this.#open.delete(message.ask);
      if (message.code === undefined) asked.resolve(message.answer);
      else asked.reject(Object.assign(new Error(message.message), { code: message.code }));
    });
    this.#process.on("error", () => {});
    this.#process.on("exit", () => this.#lose());
  }

  /**
   * @param {string} what
   * @param {...unknown} words
   * @returns {Promise<any>}
   */
  ask(what, ...words) {
    this.#asks += 1;
    const ask = this.#asks;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#open.get(ask)?.reject(lost()), ANSWER_MS);
      const settled = (/** @type {(value: any) => void} */ settle) => (/** @type {any} */ value) => {
        clearTimeout(timer);
        this.#open.delete(ask);
        settle(value);
      };
      this.#open.set(ask, { resolve: settled(resolve), reject: settled(reject) });
      if (!this.#process.connected) this.#open.get(ask)?.reject(lost());
      else this.#process.send({ ask, what, words }, (error) => error && this.#open.get(ask)?.reject(lost()));
    });
  }

  async kill() {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  freeze() {
    this.#process.kill("SIGSTOP");
  }

  thaw() {
    this.#process.kill("SIGCONT");
  }

  /** In good order. */
  async end() {
    this.thaw();
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 5_000);
    await this.exited;
    clearTimeout(timer);
  }

  #lose() {
    for (const { reject } of Array.from(this.#open.values())) reject(lost());
  }
}

function lost() {
  return Object.assign(new Error("the process is gone, or does not answer"), { code: "LOST" });
}
