// Processes of a test's own, which tell what they see one line of JSON at a time, and are never left behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface Told {
  readonly key?: string;
  readonly value?: number;
  readonly left?: number;
  readonly code?: string;
  readonly reason?: string;
  readonly outcome?: string;
}

export interface Running {
  readonly pid: number | undefined;
  readonly lines: Told[];
  /** Its exit code. */
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

export class Processes {
  readonly #running = new Set<Running>();

  start(file: string, args: readonly string[]): Running {
    const child = spawn(file, [...args], { stdio: ["ignore", "pipe", "inherit"] });
    const lines: Told[] = [];
    createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line) as Told));
    const ended = once(child, "close").then(([code]: unknown[]) => code as number | null);
    const running: Running = { pid: child.pid, lines, ended, kill: (signal) => void child.kill(signal) };
    this.#running.add(running);
    return running;
  }

  async end(): Promise<void> {
    for (const one of this.#running) {
      one.kill("SIGKILL");
      await one.ended;
    }
    this.#running.clear();
  }
}

/** Of each key, the last value that was acknowledged. */
export function acknowledgedIn(lines: readonly Told[]): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const { key, value } of lines)
    if (key !== undefined && value !== undefined) values.set(key, Math.max(value, values.get(key) ?? 0));
  return values;
}
