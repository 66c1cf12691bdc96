// What a journal asks of the file system: to read all lines, to append, and to be replaced as a whole.
import type { FileHandle } from "node:fs/promises";
import { open, rename, unlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { JournalDamagedError } from "./errors.ts";
import type { JournalRecord } from "./records.ts";
import { FIRST_LINE, recordOf } from "./records.ts";

/** A file that is appended to. A test gives one that fails. */
export interface AppendedFile {
  readonly size: number;
  /** Appends; on failure part of it may have been written. */
  append(text: string): Promise<void>;
  /** Resolves once everything is on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The files of a journal. */
export interface JournalFiles {
  read(): Promise<readonly JournalRecord[]>;
  /** An empty file, which is not the journal yet. */
  create(): Promise<AppendedFile>;
  /** Makes the file that was created last the journal, in the place of what was there. */
  replace(): Promise<void>;
}

const NEWLINE = 10;
const CHUNK_BYTES = 1 << 20;

export function journalFiles(path: string): JournalFiles {
  const next = `${path}.next`;
  return {
    read: () => readJournal(path),
    create: async () => {
      await unlink(next).catch(() => {});
      return new AppendedHandle(await open(next, "wx", 0o600));
    },
    replace: async () => {
      await rename(next, path);
      await syncFolder(path);
    },
  };
}

class AppendedHandle implements AppendedFile {
  size = 0;

  constructor(private readonly handle: FileHandle) {}

  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.size + done);
      done += bytesWritten;
    }
    this.size += bytes.length;
  }

  sync(): Promise<void> {
    return this.handle.datasync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/**
 * Reads all records up to the first that is torn.
 *
 * @throws JournalDamagedError when a good one comes behind that, or the file begins like no journal.
 */
async function readJournal(path: string): Promise<readonly JournalRecord[]> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  try {
    const records: JournalRecord[] = [];
    let offset = 0;
    let tornAt: number | undefined;
    for await (const line of linesOf(handle)) {
      const record = recordOf(line);
      const isOurs =
        offset > 0 || (record === undefined ? isTornFirst(line) : line.toString() === FIRST_LINE);
      if (!isOurs || (record !== undefined && tornAt !== undefined))
        throw new JournalDamagedError(path, tornAt ?? offset);
      if (record === undefined) tornAt ??= offset;
      else records.push(record);
      offset += line.length;
    }
    return records;
  } finally {
    await handle.close();
  }
}

function isTornFirst(line: Buffer): boolean {
  return line.length < FIRST_LINE.length && FIRST_LINE.startsWith(line.toString());
}

/** Lines with their ends; the last may have none. */
async function* linesOf(handle: FileHandle): AsyncIterable<Buffer> {
  let rest = Buffer.alloc(0);
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) break;
    const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, from)) {
      yield bytes.subarray(from, end + 1);
      from = end + 1;
    }
    rest = bytes.subarray(from);
  }
  if (rest.length > 0) yield rest;
}

/** So that a power cut does not undo a rename; where folders cannot be synced, nothing can be done. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(resolve(path)), "r").catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}
