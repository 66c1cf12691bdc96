// A write log in a file: records are appended, those of one moment together, and the file is written anew when most are old.
import type { FileHandle } from "node:fs/promises";
import { constants, copyFile, open, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Timer } from "@holdfast/core";
import { asError, ClosedError, StoreUnavailableError } from "@holdfast/core";
import { lockFile } from "@holdfast/core/node";
import type {
  AppendOutcome,
  AppendRequest,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  StoreCallOptions,
  WriteLog,
  WriteLogStats,
  WriteLogTraits,
} from "../log.ts";
import type { Journal, Times } from "../log-table.ts";
import { LogTable } from "../log-table.ts";
import { WriteLogDamagedError, WriteLogLockedError } from "./errors.ts";
import type { Contents } from "./records.ts";
import { ceilingLine, changeLine, HEADER, putLine, readRecords, removeLine } from "./records.ts";
import type { FileLogSettings, FileWriteLogOptions } from "./settings.ts";
import { settingsOf } from "./settings.ts";

/** By how much fences are reserved at a time: numbers follow the time in microseconds, so about a minute of them. */
const RESERVED = 60_000_000;

/** Rows in one write of a new version of the file. */
const ROWS_AT_ONCE = 256;

/**
 * Keeps writes in a file, for one process at a time, and all of them in memory too. What was acknowledged outlives the
 * process however it ends, SIGKILL included: whoever opens the file next has it.
 *
 * Its loss window is a power cut or a crash of the system: none with `fsync: "always"`, as far as the disk keeps its word;
 * with `{ every }`, what was written in that time. A record that was torn is left out; it was not acknowledged. The lock
 * knows processes of one host and one PID namespace: a file on a volume that several containers share is not protected.
 *
 * After a failure of the disk all calls reject with StoreUnavailableError until the log is opened again.
 *
 * @throws InvalidOptionError; WriteLogLockedError while another process has it; WriteLogDamagedError; what the file system
 * fails with.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { writeBehind } from "@holdfast/cache";
 * import { fileWriteLog } from "@holdfast/cache/file";
 *
 * const log = await fileWriteLog({ path: join(mkdtempSync(join(tmpdir(), "stock-")), "stock.log") });
 * const source = new Map<string, number>();
 * const behind = writeBehind({ log, write: (id: string, stock: number) => void source.set(id, stock) });
 * await behind.write("book", 5);
 * await behind.close();
 * await log.close();
 * source.get("book"); // => 5
 * ```
 */
export async function fileWriteLog(options: FileWriteLogOptions): Promise<WriteLog> {
  const settings = settingsOf(options);
  const lock = await lockFile(settings.path);
  if ("heldBy" in lock) throw new WriteLogLockedError(settings.path, lock.heldBy);
  const { release } = lock;
  try {
    const file = await open(settings.path, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const contents = await readRecords(file);
      const log = new FileWriteLog(file, settings, contents, release);
      await log.begin();
      return log;
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    await release();
    throw error;
  }
}

/** One verb that waits for its turn. */
interface Step {
  /** Changes the table, and answers with what to do once that is kept. */
  readonly run: () => () => void;
  readonly fail: (error: Error) => void;
  /** Whether what it changes has to outlive the system, and not the process alone. */
  readonly isDurable: boolean;
}

class FileWriteLog implements WriteLog {
  readonly traits: WriteLogTraits = { shared: false, clock: "caller", durability: "disk" };
  readonly #table: LogTable;
  #file: FileHandle;
  #size: number;
  /** Of the file when it was last written anew. */
  #baseSize: number;
  #ceiling: number;
  #lines: string[] = [];
  #steps: Step[] = [];
  #draining: Promise<void> | undefined;
  #syncTimer: Timer | undefined;
  #syncing: Promise<void> | undefined;
  #broken: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    file: FileHandle,
    private readonly settings: FileLogSettings,
    private readonly contents: Contents,
    private readonly release: () => Promise<void>,
  ) {
    const journal: Journal = {
      put: (row) => void this.#lines.push(putLine(row)),
      change: (row) => void this.#lines.push(changeLine(row)),
      remove: (key) => void this.#lines.push(removeLine(key)),
    };
    this.#file = file;
    this.#table = new LogTable(journal);
    this.#table.restore(contents.rows.values(), contents.ceiling);
    this.#ceiling = contents.ceiling;
    this.#size = contents.goodBytes;
    this.#baseSize = contents.goodBytes;
  }

  /** Makes the file one that can be appended to. */
  async begin(): Promise<void> {
    const { damagedAt, goodBytes } = this.contents;
    const { clock, path, skips } = this.settings;
    await unlink(nextOf(path)).catch(() => {});
    if (damagedAt !== undefined) {
      if (!skips) throw new WriteLogDamagedError(path, damagedAt);
      await copyFile(path, `${path}.damaged-${clock.now()}`);
      await this.#compact();
      return;
    }
    await this.#file.truncate(goodBytes);
    if (goodBytes === 0) await this.#put(HEADER);
    await this.#file.datasync();
    await syncFolder(path);
  }

  append(request: AppendRequest, options?: StoreCallOptions): Promise<AppendOutcome> {
    return this.#do(true, options, (times) => this.#table.append(request, times));
  }

  async read(key: string, options?: StoreCallOptions): Promise<string | undefined> {
    this.#check(options);
    return this.#table.read(key);
  }

  claim(request: ClaimRequest, options?: StoreCallOptions): Promise<Claimed> {
    // Attempts may be forgotten by a power cut; the numbers that were given out may not, see #reserve.
    return this.#do(false, options, (times) => this.#table.claim(request, times));
  }

  renew(
    claims: readonly ClaimRef[],
    leaseMs: number,
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    return this.#do(false, options, (times) => this.#table.renew(claims, leaseMs, times));
  }

  settle(settlements: readonly Settlement[], options?: StoreCallOptions): Promise<readonly SettleOutcome[]> {
    // What a power cut makes it forget is written once more.
    return this.#do(false, options, (times) => this.#table.settle(settlements, times));
  }

  async stats(options?: StoreCallOptions): Promise<WriteLogStats> {
    this.#check(options);
    return this.#table.stats();
  }

  async deadEntries(
    limit: number,
    offset: number,
    options?: StoreCallOptions,
  ): Promise<readonly DeadEntry[]> {
    this.#check(options);
    return this.#table.deadEntries(limit, offset);
  }

  redrive(keys?: readonly string[], options?: StoreCallOptions): Promise<number> {
    return this.#do(true, options, (times) => this.#table.redrive(keys, times));
  }

  discard(keys: readonly string[], options?: StoreCallOptions): Promise<number> {
    return this.#do(true, options, () => this.#table.discard(keys));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#draining;
    this.#syncTimer?.cancel();
    await this.#syncing;
    if (this.#broken === undefined) await this.#file.datasync().catch(() => {});
    await this.#file.close().catch(() => {});
    await this.release();
  }

  #check(options: StoreCallOptions | undefined): void {
    if (this.#closing !== undefined) throw new ClosedError(`the write log ${this.settings.path}`);
    options?.signal?.throwIfAborted();
    if (this.#broken !== undefined)
      throw new StoreUnavailableError("file", `${this.#broken.message}; the log has to be opened again`, {
        reason: "broken",
        outcome: "none",
        cause: this.#broken,
      });
  }

  /** Runs a verb in its turn, and resolves once what it has changed is kept. */
  #do<T>(isDurable: boolean, options: StoreCallOptions | undefined, verb: (times: Times) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#check(options);
      const { clock } = this.settings;
      const run = (): (() => void) => {
        const answer = verb({ monotonic: clock.monotonic(), epoch: clock.now() });
        return () => resolve(answer);
      };
      this.#steps.push({ run, fail: reject, isDurable });
      this.#draining ??= this.#drain();
    });
  }

  /** Never rejects. What comes while one part is written is the next part. */
  async #drain(): Promise<void> {
    // Those of one moment come together.
    await Promise.resolve();
    while (this.#steps.length > 0) {
      const steps = this.#steps;
      this.#steps = [];
      try {
        if (this.#broken !== undefined) throw this.#broken;
        const answers = steps.map(({ run }) => run());
        const isReserved = this.#reserve();
        await this.#keep(isReserved || steps.some(({ isDurable }) => isDurable));
        for (const answer of answers) answer();
        await this.#compactIfOld();
      } catch (error) {
        this.#broken ??= asError(error);
        const failure = failureOf(this.#broken);
        for (const { fail } of steps) fail(failure);
      }
    }
    this.#draining = undefined;
  }

  /** Sees to it that no number is given out twice, whatever is lost. Whether there is something that has to be kept. */
  #reserve(): boolean {
    if (this.#table.latest <= this.#ceiling) return false;
    this.#ceiling = this.#table.latest + RESERVED;
    this.#lines.push(ceilingLine(this.#ceiling));
    return true;
  }

  async #keep(isDurable: boolean): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = this.#lines.join("");
    this.#lines = [];
    await this.#put(text);
    const { syncEveryMs } = this.settings;
    if (syncEveryMs > 0) this.#syncLater(syncEveryMs);
    else if (isDurable) await this.#file.datasync();
  }

  async #put(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    await writeAll(this.#file, bytes, this.#size);
    this.#size += bytes.length;
  }

  #syncLater(inMs: number): void {
    if (this.#syncTimer !== undefined || this.#syncing !== undefined) return;
    this.#syncTimer = this.settings.clock.setTimer(inMs, () => {
      this.#syncTimer = undefined;
      const size = this.#size;
      const file = this.#file;
      this.#syncing = file.datasync().then(
        () => {
          this.#syncing = undefined;
          if (this.#size !== size) this.#syncLater(inMs);
        },
        (error: unknown) => {
          this.#syncing = undefined;
          // A file that was replaced meanwhile has been synced as a whole.
          if (this.#file === file) this.#broken ??= asError(error);
        },
      );
    });
  }

  async #compactIfOld(): Promise<void> {
    if (this.#size <= Math.max(this.settings.compactAbove, 2 * this.#baseSize)) return;
    try {
      await this.#compact();
    } catch {
      // The old file is as good as before; it is tried again when it is twice as large.
      this.#baseSize = this.#size;
    }
  }

  /** Writes what is there to a new file, and puts it in the place of the old one. */
  async #compact(): Promise<void> {
    const { path } = this.settings;
    const next = nextOf(path);
    const file = await open(next, "w", 0o600);
    let size = 0;
    const write = async (text: string): Promise<void> => {
      const bytes = Buffer.from(text);
      await writeAll(file, bytes, size);
      size += bytes.length;
    };
    try {
      await write(HEADER + ceilingLine(Math.max(this.#ceiling, this.#table.latest)));
      let lines: string[] = [];
      for (const row of this.#table.rows()) {
        lines.push(putLine(row));
        if (lines.length === ROWS_AT_ONCE) {
          await write(lines.join(""));
          lines = [];
        }
      }
      await write(lines.join(""));
      await file.datasync();
      await rename(next, path);
    } catch (error) {
      await file.close().catch(() => {});
      await unlink(next).catch(() => {});
      throw error;
    }
    const old = this.#file;
    this.#file = file;
    this.#size = size;
    this.#baseSize = size;
    await syncFolder(path);
    await this.#syncing;
    await old.close().catch(() => {});
  }
}

function nextOf(path: string): string {
  return `${path}.next`;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** So that a power cut does not undo what the folder was told; where folders cannot be synced, nothing can be done. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(join(path)), "r").catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

function failureOf(error: Error): StoreUnavailableError {
  return new StoreUnavailableError("file", error.message, {
    reason: "io",
    outcome: "unknown",
    cause: error,
  });
}
