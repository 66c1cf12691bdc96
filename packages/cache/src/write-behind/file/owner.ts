// One owner for a file: a numbered lock beside it, which tells who has it and can be taken from the dead only.
import { randomUUID } from "node:crypto";
import { link, readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StoreUnavailableError } from "@holdfast/core";
import { WriteLogLockedError } from "./errors.ts";

interface Owner {
  readonly pid: number;
  /** When it was started, so that another process with its number is not taken for it; empty where nobody can tell. */
  readonly started: string;
}

/** How often others may come before us. */
const TRIES = 20;

/**
 * Makes this process the owner. Locks are numbered: whoever finds the owner of the highest dead makes the next, which only
 * one can, and nobody ever removes the highest of another. So two who come at a time cannot both have it.
 *
 * @returns what gives it up.
 * @throws WriteLogLockedError while another owner is alive, in this process too.
 */
export async function becomeOwner(path: string): Promise<() => Promise<void>> {
  const me: Owner = { pid: process.pid, started: await startOf(process.pid) };
  const draft = `${path}.lock.${process.pid}-${randomUUID()}`;
  await writeFile(draft, JSON.stringify(me));
  try {
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const highest = Math.max(0, ...(await locksOf(path)));
      if (highest > 0) {
        const owner = await ownerOf(lockOf(path, highest));
        if (owner === undefined) continue;
        if (await isAlive(owner)) throw new WriteLogLockedError(path, owner.pid);
      }
      const mine = highest + 1;
      if (!(await isMade(draft, lockOf(path, mine)))) continue;
      const locks = await locksOf(path);
      // Made from what was true a while ago.
      if (locks.some((lock) => lock > mine)) {
        await remove(lockOf(path, mine));
        continue;
      }
      for (const lock of locks) if (lock < mine) await remove(lockOf(path, lock));
      return () => remove(lockOf(path, mine));
    }
  } finally {
    await remove(draft);
  }
  throw new StoreUnavailableError("file", `too many want the write log ${path} at a time`, {
    reason: "locked",
    outcome: "none",
  });
}

function lockOf(path: string, number: number): string {
  return `${path}.lock.${number}`;
}

async function locksOf(path: string): Promise<readonly number[]> {
  const prefix = `${basename(path)}.lock.`;
  const names = await readdir(dirname(join(path)));
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)));
}

/** A link is there as a whole or not at all, and only one can make it. */
async function isMade(draft: string, lock: string): Promise<boolean> {
  try {
    await link(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function ownerOf(lock: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(lock, "utf8")) as Owner;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    // Not ours, or torn by a power cut: nobody can be asked.
    return { pid: 0, started: "never" };
  }
}

async function isAlive({ pid, started }: Owner): Promise<boolean> {
  const now = await startOf(pid);
  if (started !== "" && now !== "") return now === started;
  // Not to be seen, or gone.
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Of Linux: the boot, and the tick of it at which the process was started. Empty: there is none, or no such system. */
async function startOf(pid: number): Promise<string> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // What is in brackets may hold anything; the 22nd field counts from the first, which is before them.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? "ended" : `${boot.trim()}:${fields[18]}`;
  } catch {
    return "";
  }
}

async function remove(file: string): Promise<void> {
  await unlink(file).catch(() => {});
}
