// One owner for a journal: locks beside it are numbered, and the highest that is there counts.
import { randomUUID } from "node:crypto";
import { link, readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { JournalLockedError } from "./errors.ts";

/** What a lock says of its owner. */
interface Owner {
  readonly pid: number;
  /** When the process was started, so that a later one with its number is not taken for it; "" where nobody can tell. */
  readonly started: string;
}

/**
 * Takes the journal for this process. A lock is never changed, and only the next higher number is ever made, by a link,
 * which one alone can make: so of two who find the owner dead at the same time one gets it.
 *
 * @returns what gives it back.
 * @throws JournalLockedError while its owner is alive, be it in this process.
 */
export async function lockJournal(path: string): Promise<() => Promise<void>> {
  const me: Owner = { pid: process.pid, started: await startedAt(process.pid) };
  const draft = `${path}.lock-${process.pid}-${randomUUID()}`;
  await writeFile(draft, JSON.stringify(me), { mode: 0o600 });
  try {
    for (;;) {
      const highest = Math.max(0, ...(await locksOf(path)));
      const owner = highest === 0 ? undefined : await ownerOf(lockName(path, highest));
      if (owner !== undefined && (await isAlive(owner))) throw new JournalLockedError(path, owner.pid);
      const mine = lockName(path, highest + 1);
      if (!(await isLinked(draft, mine))) continue;
      const locks = await locksOf(path);
      // Somebody had gone on while we still looked at an older one.
      if (locks.some((lock) => lock > highest + 1)) {
        await removed(mine);
        continue;
      }
      await Promise.all(locks.filter((lock) => lock <= highest).map((lock) => removed(lockName(path, lock))));
      return () => removed(mine);
    }
  } finally {
    await removed(draft);
  }
}

function lockName(path: string, number: number): string {
  return `${path}.lock.${number}`;
}

async function locksOf(path: string): Promise<readonly number[]> {
  const prefix = `${basename(path)}.lock.`;
  const numbers: number[] = [];
  for (const name of await readdir(dirname(resolve(path)))) {
    const number = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (/^\d+$/.test(number)) numbers.push(Number(number));
  }
  return numbers;
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
    // A power cut has torn it: its owner is dead.
    return { pid: 0, started: "torn" };
  }
}

async function isAlive({ pid, started }: Owner): Promise<boolean> {
  const now = await startedAt(pid);
  if (started !== "" && now !== "") return now === started;
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** On Linux: which boot, and at which tick of it. A process that has ended and was not yet waited for is no process. */
async function startedAt(pid: number): Promise<string> {
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
