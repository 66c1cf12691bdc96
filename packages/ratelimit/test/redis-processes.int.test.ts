// Several processes on one Redis: what they saw is put in order.
import type { ChildProcessByStdio } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import type { TakeRecord } from "./support/linearizability.ts";
import { isLinearizable } from "./support/linearizability.ts";

const redisUrl = inject("redisUrl");
const TAKER = fileURLToPath(new URL("./fixtures/taker.mjs", import.meta.url));

interface Line {
  readonly id: number;
  readonly key?: string;
  readonly cost?: number;
  readonly invokedAt?: string;
  readonly at?: string;
  readonly allowed?: boolean;
  readonly remaining?: number;
}

type Child = ChildProcessByStdio<null, Readable, null>;
const children: Child[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function start(...args: readonly (string | number)[]): {
  child: Child;
  lines: Line[];
  ended: Promise<unknown>;
} {
  const child = spawn(process.execPath, [TAKER, ...args.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines: Line[] = [];
  createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line) as Line));
  return { child, lines, ended: once(child, "close") };
}

/** What a process has seen, by key. */
function recordsOf(lines: readonly Line[]): readonly (TakeRecord & { readonly key: string })[] {
  const answers = new Map(lines.filter(({ at }) => at !== undefined).map((line) => [line.id, line]));
  return lines
    .filter(({ key }) => key !== undefined)
    .map(({ id, key, cost, invokedAt }) => {
      const answer = answers.get(id);
      return {
        key: key!,
        cost: cost!,
        invokedAt: BigInt(invokedAt!),
        answer: answer && { at: BigInt(answer.at!), allowed: answer.allowed!, remaining: answer.remaining! },
      };
    });
}

describe.skipIf(redisUrl === "")("processes that share limits in Redis", () => {
  const keys = freshKeys(redisUrl);
  afterAll(() => keys.drop());

  it(
    row(71, "see one limit: every answer fits one order of all takes, also when some are killed half-way"),
    async () => {
      const processes = Array.from({ length: 4 }, () =>
        start(redisUrl, `${keys.prefix}h:`, 60, 300, 8, "exact"),
      );
      const [victim, ...others] = processes;
      while (victim!.lines.length < 60) await new Promise((resolve) => setTimeout(resolve, 2));
      victim!.child.kill("SIGKILL");
      await Promise.all([victim!.ended, ...others.map(({ ended }) => ended)]);
      const byKey = new Map<string, TakeRecord[]>();
      for (const { lines } of processes)
        for (const record of recordsOf(lines))
          byKey.set(record.key, [...(byKey.get(record.key) ?? []), record]);
      expect(byKey.size).toBe(60);
      let concurrent = 0;
      for (const [key, history] of byKey) {
        expect(isLinearizable(history, 10), key).toBe(true);
        concurrent += history.filter(({ invokedAt, answer }) =>
          history.some(
            (other) => other.invokedAt > invokedAt && answer !== undefined && other.invokedAt < answer.at,
          ),
        ).length;
      }
      // Otherwise the order would be no question.
      expect(concurrent).toBeGreaterThan(20);
    },
  );

  it("stay within the bound of leased quota, though one is killed with what it has borrowed", async () => {
    const processes = Array.from({ length: 3 }, () =>
      start(redisUrl, `${keys.prefix}l:`, 1, 3_000, 4, "leased"),
    );
    const isDone = (lines: readonly Line[]): boolean => lines.at(-1)?.id === 0;
    while (processes[0]!.lines.length < 200) await new Promise((resolve) => setTimeout(resolve, 2));
    processes[0]!.child.kill("SIGKILL");
    while (!processes.slice(1).every(({ lines }) => isDone(lines)))
      await new Promise((resolve) => setTimeout(resolve, 20));
    const takes = processes
      .flatMap(({ lines }) => recordsOf(lines))
      .filter(({ answer }) => answer === undefined || answer.allowed)
      .sort((a, b) => (a.invokedAt < b.invokedAt ? -1 : 1));
    expect(takes.length).toBeGreaterThan(100);
    // capacity + refill · (t + lease); the answer was there later than it was decided, so that t is at most what it was.
    for (let from = 0; from < takes.length; from += 1) {
      let sum = 0;
      for (let to = from; to < takes.length; to += 1) {
        sum += takes[to]!.cost;
        const until = takes[to]!.answer?.at ?? takes[to]!.invokedAt;
        const seconds = Number(until - takes[from]!.invokedAt) / 1e9;
        if (sum > 400 + 400 * (Math.max(0, seconds) + 0.2) + 3) expect.fail(`${sum} within ${seconds} s`);
      }
    }
  });
});
