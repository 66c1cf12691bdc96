// A registry's rows in a file that all processes of a machine may read and change.
import { watch } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import type { Clock, Duration, Timer } from "@holdfast/core";
import {
  asError,
  ClosedError,
  hasCode,
  optionsOf,
  StoreUnavailableError,
  systemClock,
  systemRandom,
} from "@holdfast/core";
import type { FileLock } from "@holdfast/core/node";
import { lockFile } from "@holdfast/core/node";
import type { RegistryCallOptions } from "../registry/contract.ts";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { Nudges } from "../registry/nudges.ts";
import type {
  AliasRow,
  ModelRow,
  ModelStore,
  ModelStoreTraits,
  PageRequest,
  StoreAnswer,
  StoreChanges,
  StoreCommand,
} from "../registry/store.ts";
import { RegistryTable } from "../registry/table.ts";
import { readRegistryFile, writeRegistryFile } from "./registry-file.ts";

export interface FileModelStoreOptions {
  /** Of the file; its folder has to be there. */
  readonly path: string;
  /** How often those who watch look at the file, beside being told by the system that it has changed. @defaultValue "1s" */
  readonly poll?: Duration;
  /** How long a change may wait for others to have made theirs. @defaultValue "5s" */
  readonly deadline?: Duration;
  /** Revisions that a watch can resume from. Integer from 1 to 10_000. @defaultValue 1_000 */
  readonly history?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** How long to wait for another process at most before it is asked again, in milliseconds. */
const LOCK_WAIT_MS = 10;

/**
 * Keeps a registry in a file of JSON lines. Any process of the machine may read and change it: a change has the file to
 * itself, reads what others have made of it, and puts a new file in its place, which is on the disk before the change is
 * acknowledged. So who reads sees all of one version or all of another, whoever is killed when. A change costs about a
 * write of the whole file. Locks know processes of one host and one PID namespace: a file on a volume that several
 * machines or containers share may be read there, and changed from one of them.
 *
 * @throws InvalidOptionError; RegistryFileDamagedError; StoreUnavailableError when it cannot be read.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { modelRegistry } from "@holdfast/gpu-pool";
 * import { fileModelStore } from "@holdfast/gpu-pool/file";
 *
 * const path = join(mkdtempSync(join(tmpdir(), "models-")), "models.jsonl");
 * const registry = modelRegistry({ store: await fileModelStore({ path }) });
 * await registry.register({ name: "llama", version: "1" });
 * const other = modelRegistry({ store: await fileModelStore({ path }) });
 * (await other.get("llama@1"))?.state; // => "available"
 * await Promise.all([registry.close(), other.close()]);
 * ```
 */
export async function fileModelStore(options: FileModelStoreOptions): Promise<ModelStore> {
  const check = optionsOf("fileModelStore");
  const history = { min: 1, max: 10_000 };
  const store = new FileModelStore(
    resolve(check.string("path", options.path, 4_096)),
    check.duration("poll", options.poll, { min: 10 }, 1_000),
    check.duration("deadline", options.deadline, { min: 1 }, 5_000),
    new RegistryTable(check.integer("history", options.history, history, REGISTRY_LIMITS.history)),
    options.clock ?? systemClock,
  );
  await store.aliases();
  return store;
}

class FileModelStore implements ModelStore {
  readonly traits: ModelStoreTraits = { shared: true, durability: "disk" };
  readonly #nudges = new Nudges();
  /** One reading or change at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopWatching: (() => void) | undefined;
  #isClosed = false;

  constructor(
    private readonly path: string,
    private readonly pollMs: number,
    private readonly deadlineMs: number,
    private readonly table: RegistryTable,
    private readonly clock: Clock,
  ) {}

  change(command: StoreCommand, options?: RegistryCallOptions): Promise<StoreAnswer> {
    return this.#inTurn(options, async () => {
      const lock = await this.#lock(options?.signal);
      try {
        await this.#refresh();
        const before = this.table.contents;
        const answer = this.table.change(command, this.clock.now());
        if (answer.verdict === "done") {
          try {
            await writeRegistryFile(this.path, this.table.contents);
          } catch (error) {
            this.table.restore(before);
            throw error;
          }
          this.#nudges.tell();
        }
        return answer;
      } finally {
        await lock.release();
      }
    });
  }

  find(asked: string, options?: RegistryCallOptions): Promise<ModelRow | undefined> {
    return this.#read(options, () => this.table.find(asked));
  }

  findAlias(alias: string, options?: RegistryCallOptions): Promise<AliasRow | undefined> {
    return this.#read(options, () => this.table.findAlias(alias));
  }

  page(request: PageRequest, options?: RegistryCallOptions): Promise<readonly ModelRow[]> {
    return this.#read(options, () => this.table.page(request));
  }

  aliases(options?: RegistryCallOptions): Promise<readonly AliasRow[]> {
    return this.#read(options, () => this.table.aliases());
  }

  changesAfter(revision: number | undefined, options?: RegistryCallOptions): Promise<StoreChanges> {
    return this.#read(options, () => this.table.changesAfter(revision));
  }

  follow(nudge: () => void): () => void {
    const leave = this.#nudges.add(nudge);
    this.#stopWatching ??= this.#watch();
    return () => {
      leave();
      if (this.#nudges.size === 0) this.#stop();
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#nudges.clear();
    this.#stop();
    await this.#turn;
  }

  #read<T>(options: RegistryCallOptions | undefined, read: () => T): Promise<T> {
    return this.#inTurn(options, async () => {
      await this.#refresh();
      return read();
    });
  }

  /** What of it fails for the file system's sake says that the store is not available. */
  #inTurn<T>(options: RegistryCallOptions | undefined, step: () => Promise<T>): Promise<T> {
    const signal = options?.signal;
    const run = async (): Promise<T> => {
      if (this.#isClosed) throw new ClosedError("a registry of models");
      signal?.throwIfAborted();
      try {
        return await step();
      } catch (error) {
        if (signal?.aborted === true && error === signal.reason) throw error;
        const cause = asError(error);
        const isSystems = "syscall" in cause;
        throw isSystems ? new StoreUnavailableError("file", cause.message, { reason: "io", cause }) : error;
      }
    };
    const done = this.#turn.then(run);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #refresh(): Promise<void> {
    const contents = await readRegistryFile(this.path, this.table.revision);
    if (contents !== undefined) this.table.restore(contents);
  }

  async #lock(signal: AbortSignal | undefined): Promise<FileLock> {
    const until = this.clock.monotonic() + this.deadlineMs;
    for (;;) {
      const lock = await lockFile(this.path).catch((error: unknown) => {
        if (hasCode(error, "STORE_UNAVAILABLE")) return undefined;
        throw error;
      });
      if (lock !== undefined && "release" in lock) return lock;
      if (this.clock.monotonic() >= until)
        throw new StoreUnavailableError("file", `${this.path} is being changed by process ${lock?.heldBy}`, {
          reason: "locked",
          outcome: "none",
        });
      await this.clock.sleep(LOCK_WAIT_MS * systemRandom(), signal, { keepAlive: true });
    }
  }

  /** The system tells at once, mostly; where it cannot, such as on network volumes, it is looked at intervals. */
  #watch(): () => void {
    let timer: Timer | undefined;
    const poll = (): void => {
      timer = this.clock.setTimer(this.pollMs, () => {
        this.#nudges.tell();
        poll();
      });
    };
    poll();
    const name = basename(this.path);
    let close = (): void => {};
    try {
      const watcher = watch(dirname(this.path), { persistent: false }, (_, changed) => {
        if (changed === null || changed === name) this.#nudges.tell();
      });
      watcher.on("error", () => watcher.close());
      close = () => watcher.close();
    } catch {
      // No watches are left on this system: then it is as late as the poll.
    }
    return () => {
      timer?.cancel();
      close();
    };
  }

  #stop(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }
}
