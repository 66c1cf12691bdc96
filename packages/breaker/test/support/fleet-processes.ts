// Processes that share a breaker through a Redis: asked, killed, paused.
import type { CircuitSnapshot } from "@holdfast/breaker";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("fleet-member.mjs", import.meta.url));

export interface MemberProcess extends AsyncDisposable {
  /** One call: its value, or the code or message of its error. */
  call(how: "succeed" | "fail"): Promise<unknown>;
  /** Starts a call: `started`, or why not. */
  hang(): Promise<unknown>;
  /** Ends the call that hangs. */
  release(how: "succeed" | "fail"): Promise<unknown>;
  /** Calls that fail, for so many milliseconds. */
  storm(ms: number): Promise<{ readonly made: number; readonly most: number }>;
  /** Its snapshot, and how its state has changed since the last look. */
  look(): Promise<CircuitSnapshot & { readonly changes: readonly string[] }>;
  /** Closes its breaker, and waits for the process to end by itself. */
  leave(): Promise<unknown>;
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
}

/** Starts as many members of one fleet as there are URLs. */
export function startMembers(urls: readonly string[], prefix: string): Promise<MemberProcess[]> {
  return Promise.all(urls.map((url) => startMember(url, prefix)));
}

async function startMember(url: string, prefix: string): Promise<MemberProcess> {
  if (!existsSync(new URL("../../dist/redis.js", import.meta.url)))
    throw new Error("packages/breaker is not built: run `npm run build`");
  const child = spawn(process.execPath, [PROGRAM, url, prefix], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const waiting = new Map<number, (answer: never) => void>();
  createInterface(child.stdout).on("line", (line) => {
    const { id, answer } = JSON.parse(line) as { readonly id: number; readonly answer: never };
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  let asked = 0;
  const ask = <T>(command: string, argument?: unknown): Promise<T> =>
    new Promise((resolve) => {
      asked += 1;
      waiting.set(asked, resolve);
      child.stdin.write(`${JSON.stringify({ id: asked, command, argument })}\n`);
    });
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  await new Promise<never>((resolve) => waiting.set(0, resolve));
  return {
    call: (how) => ask("call", how),
    hang: () => ask("hang"),
    release: (how) => ask("release", how),
    storm: (ms) => ask("storm", ms),
    look: () => ask("look"),
    leave: async () => {
      const report = await ask("leave");
      await exited;
      return report;
    },
    kill,
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    [Symbol.asyncDispose]: kill,
  };
}
