// Processes that do work under idempotency keys: two that race, one that is killed in the middle.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("idempotent-process.mjs", import.meta.url));

/** Which store a process uses: the kind of server, its URL, the prefix or table. */
export type StorePlace = readonly [kind: "redis" | "postgres", url: string, place: string];

/** Starts processes at a time, each of which sees to all keys. @returns How many each has worked on itself. */
export async function raceProcesses(place: StorePlace, processes: number, keys: number): Promise<number[]> {
  const started = await Promise.all(
    Array.from({ length: processes }, async () => {
      const one = start(place, "race", `${keys}`);
      await one.line();
      return one;
    }),
  );
  return Promise.all(
    started.map(async ({ child, line }) => {
      const exited = once(child, "exit");
      child.stdin.end("go\n");
      const count = Number(await line());
      // By itself: nothing of ours keeps it.
      const [code] = (await exited) as [unknown];
      if (code !== 0) throw new Error(`the process ended with ${String(code)}`);
      return count;
    }),
  );
}

/** Starts a process that works on a key without end, and kills it (SIGKILL) once it has had its effect. */
export async function killAtWork(place: StorePlace, key: string): Promise<void> {
  const { child, line } = start(place, "hang", key);
  await line();
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

function start(place: StorePlace, ...task: readonly string[]) {
  if (!existsSync(new URL("../../dist/redis.js", import.meta.url)))
    throw new Error("packages/core is not built: run `npm run build`");
  const child = spawn(process.execPath, [PROGRAM, ...place, ...task], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const { done, value } = await lines.next();
    if (done === true) throw new Error("the process has ended");
    return value;
  };
  return { child, line };
}
