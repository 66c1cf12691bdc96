// A journal in a file: calls are appended, those of one moment together, and the file is written anew when most are old.
import type { Clock, Duration, Timer } from "@holdfast/core";
import { asError, ClosedError, optionsOf, systemClock } from "@holdfast/core";
import { lockFile } from "@holdfast/core/node";
import type { Call, ChangeResult, ChangeVerb, JournalSource, QueueJournal } from "../memory/journal.ts";
import { JournalFailedError, JournalLockedError } from "./errors.ts";
import type { AppendedFile, JournalFiles } from "./journal-file.ts";
import { journalFiles } from "./journal-file.ts";
import type { JournalRecord } from "./records.ts";
import { boundsRecord, callRecord, FIRST_LINE, lineOf, queueRecords, replay } from "./records.ts";

export interface FileJournalOptions {
  /** Its folder has to be there; a lock, and for a while a new version of the file, are put beside it. */
  readonly path: string;
  /**
   * When what is written is forced to the disk: before it is acknowledged, for all calls of a moment together; or at most
   * so long after. @defaultValue "always"
   */
  readonly fsync?: "always" | { readonly every: Duration };
  /**
   * The file is written anew, without what is old, when it has this many bytes and twice those of the last time. From
   * 1,024. @defaultValue 16_777_216
   */
  readonly compactAbove?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `fileJournal`. */
export const FILE_JOURNAL_DEFAULTS: { readonly compactAbove: number } = { compactAbove: 16_777_216 };

/** Characters in one write of a new version of the file. */
const PART_LENGTH = 1 << 20;

/**
 * Opens a journal, which keeps what a memory store holds beyond the end of the process. What was acknowledged outlives the
 * process however it ends, SIGKILL included; a power cut or a crash of the system too with `fsync: "always"`, as far as
 * the disk keeps its word, and with `{ every }` but for what was acknowledged in that time. A record that was torn is left
 * out: it was not acknowledged.
 *
 * It belongs to one process at a time, of one host and one PID namespace. After a failure of the disk all calls reject with
 * JournalFailedError until it is opened again.
 *
 * @throws InvalidOptionError; JournalLockedError while another has it; JournalDamagedError; what the file system fails with.
 *
 * @example
 * ```ts
 * import { mkdtempSync } from "node:fs";
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { defineTask, memoryStore, queue } from "@holdfast/queue";
 * import { fileJournal } from "@holdfast/queue/file";
 *
 * const path = join(mkdtempSync(join(tmpdir(), "tasks-")), "tasks.journal");
 * const greet = defineTask<string>({ name: "greet" });
 *
 * const before = memoryStore({ journal: await fileJournal({ path }) });
 * const { id } = await queue({ name: "mail", store: before }).enqueue(greet, "Ada");
 * await before.close();
 *
 * const after = memoryStore({ journal: await fileJournal({ path }) });
 * (await queue({ name: "mail", store: after }).status(id)).state; // => "ready"
 * await after.close();
 * ```
 */
export async function fileJournal(options: FileJournalOptions): Promise<QueueJournal> {
  const check = optionsOf("fileJournal");
  check.object("options", options);
  const { fsync = "always", clock = systemClock } = options;
  if (fsync !== "always" && (typeof fsync !== "object" || fsync === null))
    check.refuse("fsync", fsync, '"always" or { every: a duration }');
  const path = check.string("path", options.path, 4_096);
  const { compactAbove } = FILE_JOURNAL_DEFAULTS;
  return openJournal(journalFiles(path), {
    path,
    syncEveryMs: fsync === "always" ? 0 : check.duration("fsync.every", fsync.every, { min: 1 }),
    compactAbove: check.integer("compactAbove", options.compactAbove, { min: 1_024 }, compactAbove),
    clock,
  });
}

export interface FileJournalSettings {
  readonly path: string;
  /** 0: before each acknowledgement. */
  readonly syncEveryMs: number;
  readonly compactAbove: number;
  readonly clock: Clock;
}

/** Opens a journal in given files. */
export async function openJournal(files: JournalFiles, settings: FileJournalSettings): Promise<QueueJournal> {
  const lock = await lockFile(settings.path);
  if ("heldBy" in lock) throw new JournalLockedError(settings.path, lock.heldBy);
  try {
    return new FileJournal(files, settings, await files.read(), lock.release);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Lines that are kept together, and who waits for that. */
class Batch {
  readonly lines: string[] = [];
  keep!: () => void;
  fail!: (error: Error) => void;
  readonly kept: Promise<void> = new Promise((resolve, reject) => {
    this.keep = resolve;
    this.fail = reject;
  });

  constructor() {
    // Not everybody who writes waits.
    this.kept.catch(() => {});
  }
}

class FileJournal implements QueueJournal {
  #source: JournalSource | undefined;
  #file: AppendedFile | undefined;
  /** Bytes of the file when it was written anew. */
  #baseSize = 0;
  #next = new Batch();
  #current: Batch | undefined;
  #syncTimer: Timer | undefined;
  #syncing: Promise<void> | undefined;
  #failure: JournalFailedError | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    private readonly files: JournalFiles,
    private readonly settings: FileJournalSettings,
    private records: readonly JournalRecord[],
    private readonly unlock: () => Promise<void>,
  ) {}

  start(source: JournalSource): void {
    if (this.#source !== undefined || this.#closing !== undefined)
      throw new ClosedError("the journal, which another store has had");
    this.#source = source;
    replay(this.records, source);
    this.records = [];
    // A file of this process's own: without what is old, without what was torn, under the bounds of today.
    void this.#drain();
  }

  append<V extends ChangeVerb>(call: Call<V>, result: ChangeResult<V>): void {
    if (this.#failure !== undefined) throw this.#failure;
    const record = callRecord(call, result);
    if (record === undefined) return;
    this.#next.lines.push(lineOf(record));
    if (this.#current === undefined) void this.#drain();
  }

  kept(): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#next.lines.length > 0 ? this.#next.kept : this.#current?.kept;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    while (this.#current !== undefined) await this.#current.kept.catch(() => {});
    this.#syncTimer?.cancel();
    await this.#syncing;
    if (this.#failure === undefined) await this.#file?.sync().catch(() => {});
    await this.#file?.close().catch(() => {});
    await this.unlock();
  }

  /** Keeps one batch after the other. Never rejects. What comes while one is written is the next. */
  async #drain(): Promise<void> {
    do {
      const batch = this.#next;
      this.#current = batch;
      // Calls of one moment come together.
      await Promise.resolve();
      this.#next = new Batch();
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#keep(batch);
        batch.keep();
      } catch (error) {
        this.#failure ??= new JournalFailedError(this.settings.path, asError(error));
        batch.fail(this.#failure);
      }
    } while (this.#next.lines.length > 0);
    this.#current = undefined;
  }

  async #keep(batch: Batch): Promise<void> {
    const { compactAbove, syncEveryMs } = this.settings;
    if (this.#file === undefined) return this.#writeAnew();
    if (this.#file.size > Math.max(compactAbove, 2 * this.#baseSize)) {
      try {
        // It holds what this batch tells of.
        return await this.#writeAnew();
      } catch {
        // The old file is as good as before; it is tried again when that is twice as large.
        this.#baseSize = this.#file.size;
      }
    }
    await this.#file.append(batch.lines.join(""));
    if (syncEveryMs === 0) await this.#file.sync();
    else this.#syncLater(syncEveryMs);
  }

  /** Writes what is there at this moment to a new file, and puts it in the place of the old one. */
  async #writeAnew(): Promise<void> {
    const text = this.#snapshot();
    const file = await this.files.create();
    try {
      for (const part of text) await file.append(part);
      await file.sync();
      await this.files.replace();
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    const old = this.#file;
    this.#file = file;
    this.#baseSize = file.size;
    await this.#syncing;
    await old?.close().catch(() => {});
  }

  /** Taken at once, so that it is of one moment. */
  #snapshot(): readonly string[] {
    const source = this.#source!;
    const parts: string[] = [];
    let part = FIRST_LINE + lineOf(boundsRecord(source.bounds));
    for (const queue of source.snapshot())
      for (const record of queueRecords(queue)) {
        part += lineOf(record);
        if (part.length < PART_LENGTH) continue;
        parts.push(part);
        part = "";
      }
    parts.push(part);
    return parts;
  }

  #syncLater(inMs: number): void {
    if (this.#syncTimer !== undefined || this.#syncing !== undefined) return;
    this.#syncTimer = this.settings.clock.setTimer(inMs, () => {
      this.#syncTimer = undefined;
      this.#syncing = this.#sync(this.#file!);
    });
  }

  async #sync(file: AppendedFile): Promise<void> {
    const { size } = file;
    try {
      await file.sync();
    } catch (error) {
      // A file that was replaced meanwhile has been synced as a whole.
      if (this.#file === file) this.#failure ??= new JournalFailedError(this.settings.path, asError(error));
    }
    this.#syncing = undefined;
    if (this.#failure === undefined && file.size !== size) this.#syncLater(this.settings.syncEveryMs);
  }
}
