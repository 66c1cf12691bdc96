// What a log in a file is made of: one record a line, each with its checksum.
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { KeptRow } from "../log-table.ts";

/** The first record of each file. */
export const HEADER: string = lineOf(["holdfast-write-log", 1]);

const NEWLINE = 10;
const CHUNK_BYTES = 1 << 20;

/** What a file was found to hold. */
export interface Contents {
  readonly rows: ReadonlyMap<string, KeptRow>;
  /** No number above it was given out. */
  readonly ceiling: number;
  /** Bytes up to the end of the last good record. */
  readonly goodBytes: number;
  /** Where the first record that is wrong begins, if good ones come after it, or the first is wrong. */
  readonly damagedAt: number | undefined;
}

export function putLine(row: KeptRow): string {
  return lineOf(["put", row.key, row.value, ...restOf(row)]);
}

export function changeLine(row: KeptRow): string {
  return lineOf(["set", row.key, ...restOf(row)]);
}

export function removeLine(key: string): string {
  return lineOf(["del", key]);
}

export function ceilingLine(ceiling: number): string {
  return lineOf(["num", ceiling]);
}

/** Reads all records. */
export async function readRecords(file: FileHandle): Promise<Contents> {
  const rows = new Map<string, KeptRow>();
  let ceiling = 0;
  let goodBytes = 0;
  let badAt: number | undefined;
  let damagedAt: number | undefined;
  let offset = 0;
  for await (const line of linesOf(file)) {
    const record = recordOf(line);
    const isHeader = record?.[0] === "holdfast-write-log" && record[1] === 1;
    if (record === undefined || (offset === 0) !== isHeader) {
      badAt ??= offset;
      // A beginning that is none, and is not the torn one of a new file, is somebody else's.
      if (offset === 0 && !HEADER.startsWith(line.toString())) damagedAt ??= 0;
    } else {
      if (badAt !== undefined) damagedAt ??= badAt;
      goodBytes = offset + line.length;
      ceiling = Math.max(ceiling, apply(rows, record));
    }
    offset += line.length;
  }
  return { rows, ceiling, goodBytes, damagedAt };
}

function lineOf(record: readonly unknown[]): string {
  const text = JSON.stringify(record);
  return `${sumOf(text)} ${text}\n`;
}

function sumOf(text: string | Buffer): string {
  return crc32(text).toString(16).padStart(8, "0");
}

function restOf({ version, since, attempts, isDead, error, diedAtMs }: KeptRow): readonly unknown[] {
  return [version, since, attempts, isDead ? 1 : 0, error, diedAtMs];
}

/** A record whose checksum is right. */
function recordOf(line: Buffer): readonly unknown[] | undefined {
  if (line.length < 10 || line.at(-1) !== NEWLINE) return undefined;
  const text = line.subarray(9, -1);
  if (line.toString("latin1", 0, 8) !== sumOf(text)) return undefined;
  return JSON.parse(text.toString()) as readonly unknown[];
}

/** @returns the highest number that it tells of. */
function apply(rows: Map<string, KeptRow>, [kind, ...fields]: readonly unknown[]): number {
  if (kind === "num") return fields[0] as number;
  const key = fields[0] as string;
  if (kind === "del") rows.delete(key);
  if (kind !== "put" && kind !== "set") return 0;
  const value = kind === "put" ? (fields[1] as string) : rows.get(key)?.value;
  const [version, since, attempts, isDead, error, diedAtMs] = fields.slice(kind === "put" ? 2 : 1) as [
    number,
    number,
    number,
    number,
    string,
    number,
  ];
  // Its value was in a record that is lost.
  if (value === undefined) return version;
  // The last change is the last of the order: dead letters are told in the order in which they died.
  rows.delete(key);
  rows.set(key, { key, value, version, since, attempts, isDead: isDead === 1, error, diedAtMs });
  return version;
}

/** Lines with their ends; the last may have none. */
async function* linesOf(file: FileHandle): AsyncIterable<Buffer> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let parts: Buffer[] = [];
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    let from = 0;
    for (
      let end = chunk.indexOf(NEWLINE);
      end !== -1 && end < bytesRead;
      end = chunk.indexOf(NEWLINE, from)
    ) {
      parts.push(Buffer.from(chunk.subarray(from, end + 1)));
      yield Buffer.concat(parts);
      parts = [];
      from = end + 1;
    }
    if (from < bytesRead) parts.push(Buffer.from(chunk.subarray(from, bytesRead)));
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}
