// The file of a registry: lines of JSON, always written as a whole beside the old one and put in its place.
import type { FileHandle } from "node:fs/promises";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AliasRow, ModelRow, ProfileRow } from "../registry/store.ts";
import type { TableContents, Touched } from "../registry/table.ts";
import { RegistryFileDamagedError } from "./errors.ts";

/** Long enough for the first line. */
const HEAD_BYTES = 256;

interface Head {
  readonly holdfast: "model-registry";
  readonly format: 1;
  readonly revision: number;
  readonly cut: number;
}

/** A model's line: what was registered and measured is JSON of its own there, for those who read the file. */
interface ModelLine extends Omit<ModelRow, "content" | "profiles"> {
  readonly entry: unknown;
  readonly profiles: Readonly<Record<string, { readonly profile: unknown; readonly revision: number }>>;
}

type Line =
  | { readonly model: ModelLine }
  | { readonly alias: Omit<AliasRow, "previous"> & { readonly previous?: string } }
  | { readonly history: readonly Touched[] }
  /** The last one, with how many came before it: without it the file is not all there. */
  | { readonly end: number };

const NOTHING: TableContents = { revision: 0, cut: 0, models: [], aliases: [], history: [] };

/**
 * What is in the file, unless that is of the revision that is known already. Without a file there is nothing.
 *
 * @throws RegistryFileDamagedError
 */
export async function readRegistryFile(path: string, known: number): Promise<TableContents | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return known === 0 ? undefined : NOTHING;
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const [head = ""] = buffer.toString("utf8", 0, bytesRead).split("\n", 1);
    if (headOf(path, head).revision === known) return undefined;
    // The same file still, whatever has its name by now. A read at a place has not moved the one that this begins at.
    return contentsOf(path, await file.readFile("utf8"));
  } finally {
    await file.close();
  }
}

/** @throws what the file system does; then the old file is as it was, but for a failure of the disk. */
export async function writeRegistryFile(path: string, contents: TableContents): Promise<void> {
  const next = `${path}.next`;
  const file = await open(next, "w", 0o600);
  try {
    await file.writeFile(linesOf(contents));
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(next, path);
  // So that a power cut does not undo what the folder was told; where folders cannot be synced, nothing can be done.
  const folder = await open(dirname(join(path)), "r").catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

function linesOf({ revision, cut, models, aliases, history }: TableContents): string {
  const head: Head = { holdfast: "model-registry", format: 1, revision, cut };
  const lines: Line[] = [
    ...models.map((model) => ({ model: modelLine(model) })),
    ...aliases.map(({ previous, ...alias }) => ({
      alias: previous === undefined ? alias : { ...alias, previous },
    })),
    { history },
  ];
  return [head, ...lines, { end: lines.length }].map((line) => `${JSON.stringify(line)}\n`).join("");
}

function contentsOf(path: string, text: string): TableContents {
  try {
    const [first = "", ...rest] = text.split("\n");
    const { revision, cut } = headOf(path, first);
    const lines = rest.filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
    const last = lines.pop();
    if (last === undefined || !("end" in last) || last.end !== lines.length)
      throw new RegistryFileDamagedError(path);
    return {
      revision,
      cut,
      models: lines.flatMap((line) => ("model" in line ? modelRow(line.model) : [])),
      aliases: lines.flatMap((line) => ("alias" in line ? { previous: undefined, ...line.alias } : [])),
      history: lines.flatMap((line) => ("history" in line ? line.history : [])),
    };
  } catch (error) {
    throw error instanceof RegistryFileDamagedError
      ? error
      : new RegistryFileDamagedError(path, { cause: error });
  }
}

function headOf(path: string, line: string): Head {
  try {
    const head = JSON.parse(line) as Partial<Head>;
    if (head.holdfast === "model-registry" && head.format === 1 && Number.isSafeInteger(head.revision))
      return head as Head;
  } catch {
    // Told below.
  }
  throw new RegistryFileDamagedError(path);
}

function modelLine({ content, profiles, ...row }: ModelRow): ModelLine {
  const entries = Object.entries(profiles).map(
    ([type, { text, revision }]) => [type, { profile: JSON.parse(text) as unknown, revision }] as const,
  );
  return { ...row, entry: JSON.parse(content) as unknown, profiles: Object.fromEntries(entries) };
}

function modelRow({ entry, profiles, ...row }: ModelLine): ModelRow {
  const entries = Object.entries(profiles).map(([type, { profile, revision }]): [string, ProfileRow] => [
    type,
    { text: JSON.stringify(profile), revision },
  ]);
  return { ...row, content: JSON.stringify(entry), profiles: Object.fromEntries(entries) };
}
