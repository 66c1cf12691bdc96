// One owner for a file: numbered locks beside it, each telling who has it; the highest that is there counts.
import { randomUUID } from "node:crypto";
import { link, readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { StoreUnavailableError } from "../errors/errors.ts";

/** A file that belongs to this process until it gives it up. */
export interface FileLock {
  readonly release: () => Promise<void>;
}

/** Who has the file instead. */
export interface FileLockHolder {
  readonly heldBy: number;
}

/** What a lock says of its owner. */
interface Owner {
  readonly pid: number;
  /** When the process was started, so that a later one with its number is not taken for it; "" where nobody can tell. */
  readonly started: string;
}

/** How often others may come before us. */
const TRIES = 20;
/** A lock that a power cut has torn: nobody has it. */
const NOBODY: Owner = { pid: 0, started: "" };

/**
 * Makes this process the owner of a file, or tells which process is, be it this one. For processes of one machine; the
 * file need not be there. A lock is made whole, by a link, and never changed; whoever has made one has the file only if no
 * other lock is of a living process; else it gives way and tries again. So two who come at a time never both have it.
 *
 * @throws StoreUnavailableError with reason `locked` when too many want the file at a time; what the file system throws.
 *
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { lockFile } from "@holdfast/core/node";
 *
 * const path = join(tmpdir(), `journal-${process.pid}`);
 * const lock = await lockFile(path);
 * (await lockFile(path)) // => { heldBy: process.pid }
 * if ("release" in lock) await lock.release();
 * ```
 */
export async function lockFile(path: string): Promise<FileLock | FileLockHolder> {
  const me: Owner = { pid: process.pid, started: await startOf(process.pid) };
  const draft = `${path}.lock-${process.pid}-${randomUUID()}`;
  await writeFile(draft, JSON.stringify(me), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const highest = Math.max(0, ...(await locksOf(path)));
      const owner = highest === 0 ? undefined : await ownerOf(nameOf(path, highest));
      if (owner !== undefined && (await isAlive(owner))) return { heldBy: owner.pid };
      const mine = nameOf(path, highest + 1);
      if (!(await isLinked(draft, mine))) continue;
      const others = (await locksOf(path))
        .filter((lock) => lock !== highest + 1)
        .map((lock) => nameOf(path, lock));
      if (!(await isAnyAlive(others))) {
        await Promise.all([...others, ...(await draftsOfTheDead(path))].map(removed));
        return { release: () => removed(mine) };
      }
      // Somebody had come in while we still looked at what was before.
      await removed(mine);
    }
  } finally {
    await removed(draft);
  }
  throw new StoreUnavailableError("file", `too many want ${path} at a time`, {
    reason: "locked",
    outcome: "none",
  });
}

function nameOf(path: string, number: number): string {
  return `${path}.lock.${number}`;
}

async function locksOf(path: string): Promise<readonly number[]> {
  const prefix = `${basename(path)}.lock.`;
  const names = await readdir(dirname(resolve(path)));
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)));
}

/** What was left by those who were killed before they had a lock. */
async function draftsOfTheDead(path: string): Promise<readonly string[]> {
  const prefix = `${basename(path)}.lock-`;
  const names = (await readdir(dirname(resolve(path)))).filter((name) => name.startsWith(prefix));
  const pidOf = (name: string): number => Number(name.slice(prefix.length).split("-", 1)[0]);
  return names.filter((name) => !isThere(pidOf(name))).map((name) => join(dirname(path), name));
}

async function isAnyAlive(locks: readonly string[]): Promise<boolean> {
  for (const lock of locks) {
    const owner = await ownerOf(lock);
    if (owner !== undefined && (await isAlive(owner))) return true;
  }
  return false;
}

async function isLinked(draft: string, lock: string): Promise<boolean> {
  try {
    await link(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** `undefined` if it is gone by now. */
async function ownerOf(lock: string): Promise<Owner | undefined> {
  let text: string;
  try {
    text = await readFile(lock, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return NOBODY;
  }
}

async function isAlive({ pid, started }: Owner): Promise<boolean> {
  if (pid === NOBODY.pid) return false;
  const now = await startOf(pid);
  if (started !== "" && now !== "") return now === started;
  return isThere(pid);
}

/** Whether a process has this number, be it another one by now. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** On Linux: which boot, and at which tick of it. A process that has ended and was not yet waited for is no process. */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name in brackets may hold anything; behind it is the state, and the 22nd field of all is the tick.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "ended" : `${boot.trim()} ${fields[19]}`;
  } catch {
    return "";
  }
}

async function removed(file: string): Promise<void> {
  await unlink(file).catch(() => {});
}
