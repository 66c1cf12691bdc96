// Real processes with a journal that are killed at any moment, again and again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@holdfast/core/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const PROCESS = fileURLToPath(new URL("./fixtures/journal-process.mjs", import.meta.url));
const ROUNDS = 25;

describe("a queue in a journal whose process is killed", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "queue-crash-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  function start(mode: "work" | "finish", round: number) {
    const files = [join(folder, "tasks.journal"), join(folder, "effects")];
    const child = spawn(process.execPath, [PROCESS, ...files, String(round), mode], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines: string[] = [];
    const reader = createInterface(child.stdout);
    reader.on("line", (line) => lines.push(line));
    return { child, lines, isRead: once(reader, "close"), begins: once(child.stdout, "data") };
  }

  it("loses no task that it has acknowledged, and ends each once", { timeout: 240_000 }, async () => {
    const random = seededRandom(Number(process.env["CRASH_SEED"] ?? 1));
    const added: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { child, lines, isRead, begins } = start("work", round);
      await begins;
      await sleep(random() * 200);
      child.kill("SIGKILL");
      await Promise.all([once(child, "exit").catch(() => {}), isRead]);
      expect(lines[0]).toBe("ready");
      for (const line of lines) if (line.startsWith("added ")) added.push(line.slice(6));
    }
    const { child, lines, isRead } = start("finish", ROUNDS);
    child.stdin.end(added.join("\n"));
    const [code] = (await once(child, "exit")) as [number];
    await isRead;
    expect(code).toBe(0);

    const runs = (await readFile(join(folder, "effects"), "utf8")).trim().split("\n");
    const fences = runs.map((line) => Number(line.split(" ")[1]));
    const ids = new Set(runs.map((line) => line.split(" ")[0]));
    const { size } = await stat(join(folder, "tasks.journal"));
    console.log(
      `${added.length} tasks acknowledged, ${ROUNDS} kills, ${runs.length - ids.size} runs repeated after a kill, ` +
        `journal of ${size} bytes`,
    );
    expect(added.length).toBeGreaterThan(ROUNDS);
    const ended = lines.filter((line) => line.startsWith("task ")).map((line) => line.split(" "));
    expect(ended).toHaveLength(added.length);
    expect(ended.filter(([, , state, ends]) => state !== "completed" || ends !== "1")).toEqual([]);
    // Nobody was ever given a fence that another had had before, whatever was killed in between.
    expect(new Set(fences).size).toBe(fences.length);
  });
});
