// Processes that write behind and are killed or frozen: what they were told was kept reaches the source, newest last.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { fileWriteLog } from "@holdfast/cache/file";
import { postgresWriteLog } from "@holdfast/cache/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { freshDatabase, freshKeys } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import type { Running, Told } from "./support/processes.ts";
import { acknowledgedIn, Processes } from "./support/processes.ts";

const redisUrl = inject("redisUrl");
const databaseUrl = inject("databaseUrl");
const BEHIND = fileURLToPath(new URL("./fixtures/behind.mjs", import.meta.url));
const SMALL_DISK = fileURLToPath(new URL("./fixtures/small-disk.mjs", import.meta.url));

const processes = new Processes();
afterEach(() => processes.end());

const start = (...args: readonly string[]): Running => processes.start(process.execPath, [BEHIND, ...args]);

async function toldOf(process: Running, count: number): Promise<void> {
  const before = process.lines.length;
  while (process.lines.length < before + count) await sleep(2);
}

interface Kept {
  readonly key: string;
  readonly value: number;
}

/** The source has of each key what was acknowledged last, or what came after it, and never went back. */
function check(history: readonly Kept[], told: readonly Told[]): void {
  const last = new Map<string, number>();
  for (const { key, value } of history) {
    expect(value, key).toBeGreaterThanOrEqual(last.get(key) ?? 0);
    last.set(key, value);
  }
  const acknowledged = acknowledgedIn(told);
  expect(acknowledged.size).toBeGreaterThanOrEqual(5);
  for (const [key, value] of acknowledged) expect(last.get(key), key).toBeGreaterThanOrEqual(value);
}

describe("a process with a log in a file", () => {
  it(
    row(62, "loses nothing that was acknowledged when it is killed again and again while it flushes"),
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "killed-"));
      const [log, source] = [join(folder, "log"), join(folder, "source")];
      const told: Told[] = [];
      for (let round = 0; round < 5; round += 1) {
        const writer = start("file", log, source, "write", "k", String(1 + round * 1_000_000));
        await toldOf(writer, 100 + round * 37);
        writer.kill("SIGKILL");
        await writer.ended;
        told.push(...writer.lines);
      }
      const drain = start("file", log, source, "drain");
      expect(await drain.ended).toBe(0);
      expect(drain.lines).toEqual([{ left: 0 }]);
      const history = readFileSync(source, "utf8").trim().split("\n");
      check(
        history.map((line) => ({ key: line.split(" ")[0]!, value: Number(line.split(" ")[1]) })),
        told,
      );
      rmSync(folder, { recursive: true });
    },
  );

  it("keeps others out while it is alive, frozen or not, and nobody once it was killed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "owned-"));
    const path = join(folder, "log");
    const owner = start("file", path, join(folder, "source"), "write", "k", "1");
    await toldOf(owner, 1);
    const locked = { code: "WRITE_LOG_LOCKED", pid: owner.pid };
    await expect(fileWriteLog({ path })).rejects.toMatchObject(locked);
    owner.kill("SIGSTOP");
    await expect(fileWriteLog({ path })).rejects.toMatchObject(locked);
    owner.kill("SIGKILL");
    await owner.ended;
    await (await fileWriteLog({ path })).close();
    rmSync(folder, { recursive: true });
  });

  it("has all that was acknowledged before its disk was full, and says what it does not know", async () => {
    const folder = mkdtempSync(join(tmpdir(), "full-"));
    const path = join(folder, "log");
    // Blocks of 1,024 bytes; the signal would end the process before it is told.
    const script = `trap '' XFSZ; ulimit -f 8; exec "${process.execPath}" "${SMALL_DISK}" "${path}"`;
    const writer = processes.start("bash", ["-c", script]);
    expect(await writer.ended).toBe(0);
    const keys = writer.lines.flatMap(({ key }) => key ?? []);
    expect(keys.length).toBeGreaterThan(10);
    expect(writer.lines.slice(keys.length)).toEqual([
      { code: "STORE_UNAVAILABLE", reason: "io", outcome: "unknown" },
      { code: "STORE_UNAVAILABLE", reason: "broken", outcome: "none" },
    ]);
    const log = await fileWriteLog({ path });
    for (const key of keys) expect(await log.read(key)).toBeDefined();
    await log.close();
    expect(existsSync(`${path}.lock.1`)).toBe(false);
    rmSync(folder, { recursive: true });
  });
});

/** Three processes that write keys of their own and flush those of all; one is killed, one is frozen for long. */
async function disturb(
  ...where: readonly [kind: string, place: string, source: string]
): Promise<readonly Told[]> {
  const [killed, frozen, calm] = ["a", "b", "c"].map((prefix) => start(...where, "write", prefix, "1"));
  await Promise.all([killed, frozen, calm].map((one) => toldOf(one!, 60)));
  frozen!.kill("SIGSTOP");
  await toldOf(calm!, 30);
  killed!.kill("SIGKILL");
  // Longer than a lease: what both had claimed is taken over.
  await sleep(1_500);
  await toldOf(calm!, 30);
  frozen!.kill("SIGCONT");
  await toldOf(frozen!, 60);
  const all = [killed!, frozen!, calm!];
  for (const one of all) one.kill("SIGKILL");
  await Promise.all(all.map(({ ended }) => ended));
  const drain = start(...where, "drain");
  expect(await drain.ended).toBe(0);
  expect(drain.lines).toEqual([{ left: 0 }]);
  return all.flatMap(({ lines }) => lines);
}

describe.skipIf(databaseUrl === "")("processes with a log in PostgreSQL", () => {
  it(
    row(62, "take over from those that are killed and frozen, and lose nothing that was acknowledged"),
    async () => {
      await using database = await freshDatabase(databaseUrl);
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      await postgresWriteLog({ client, name: "processes" }).migrate();
      await client.query(
        "create table source (key text primary key, value int not null, fence bigint not null)",
      );
      await client.query("create table source_history (id serial primary key, key text, value int)");
      const told = await disturb("postgres", database.url, "source");
      const { rows } = await client.query<Kept>("select key, value from source_history order by id");
      await client.end();
      check(rows, told);
    },
  );
});

describe.skipIf(redisUrl === "")("processes with a log in Redis", () => {
  it("take over from those that are killed and frozen, and lose nothing that was acknowledged", async () => {
    await using keys = freshKeys(redisUrl);
    const told = await disturb("redis", redisUrl, keys.prefix);
    const client = new Redis(redisUrl);
    const history = await client.lrange(`${keys.prefix}history`, 0, -1);
    client.disconnect();
    check(
      history.map((line) => ({ key: line.split(" ")[0]!, value: Number(line.split(" ")[1]) })),
      told,
    );
  });
});
