// Real processes that change one registry on file at a time, and are killed at any moment, again and again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@holdfast/core/testing";
import { modelRegistry } from "@holdfast/gpu-pool";
import { fileModelStore } from "@holdfast/gpu-pool/file";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { follow } from "./fixtures/registry-follower.ts";

const WRITER = fileURLToPath(new URL("./fixtures/registry-writer.mjs", import.meta.url));
const ROUNDS = 12;

describe("a registry on file whose writers are killed", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "models-crash-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  function start(name: string, round: number) {
    const args = [WRITER, join(folder, "models.jsonl"), name, String(round)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    const reader = createInterface(child.stdout);
    reader.on("line", (line) => lines.push(line));
    const ends = Promise.all([once(child, "exit"), once(reader, "close")]);
    return { child, lines, ends, begins: once(child.stdout, "data") };
  }

  it("loses nothing that was acknowledged, and is whole at every moment", { timeout: 240_000 }, async () => {
    const random = seededRandom(Number(process.env["CRASH_SEED"] ?? 1));
    const path = join(folder, "models.jsonl");
    await using registry = modelRegistry({ store: await fileModelStore({ path, poll: 50 }) });
    const watcher = follow(registry);
    const acknowledged = new Map<string, { version: string; revision: number }>();
    let count = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const writers = ["llama", "flux"].map((name) => ({ name, ...start(name, round) }));
      await Promise.all(writers.map(({ begins }) => begins));
      await sleep(random() * 150);
      for (const { child } of writers) child.kill("SIGKILL");
      for (const { lines, ends, name } of writers) {
        await ends;
        for (const line of lines) {
          const [word, version = "", revision] = line.split(" ");
          if (word !== "acknowledged") continue;
          acknowledged.set(name, { version, revision: Number(revision) });
          count += 1;
        }
      }
      for (const [name, { revision }] of acknowledged) {
        const alias = (await registry.alias(`${name}@stable`))!;
        // One more may have been on the disk when it was killed.
        expect(alias.revision).toBeGreaterThanOrEqual(revision);
        expect((await registry.get(alias.alias))?.key).toBe(`${name}@${alias.version}`);
      }
    }
    const { record } = await registry.register({ name: "end", version: "1" });
    await expect.poll(() => watcher.revision, { timeout: 10_000 }).toBe(record.revision);
    const { models } = await registry.list({ limit: 1_000 });
    expect([...watcher.models].sort()).toEqual(models.map(({ key }) => key));
    expect([...watcher.aliases.values()]).toEqual(expect.arrayContaining([...(await registry.aliases())]));
    expect(watcher.isOrdered).toBe(true);
    expect(count).toBeGreaterThan(ROUNDS);
    const left = (await readdir(folder)).filter((file) => file.includes(".lock"));
    console.log(`${count} rollouts acknowledged, ${2 * ROUNDS} kills, ${left.length} locks of the dead left`);
  });
});
