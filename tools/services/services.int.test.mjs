import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { describe, expect, inject, it, vi } from "vitest";
import {
  canMountDisks,
  freshDatabase,
  freshKeys,
  startPgBouncer,
  startPostgres,
  startRedis,
} from "./index.mjs";

const here = (/** @type {string} */ file) => JSON.stringify(new URL(file, import.meta.url).href);

describe.skipIf(!inject("startsRedis"))("startRedis", () => {
  it("keeps what was acknowledged over a SIGKILL when it is append-only", async () => {
    const server = await startRedis({ appendOnly: true });
    const client = redis(server.url);
    await client.set("key", "kept");
    await server.restart();
    expect(await client.get("key")).toBe("kept");
    client.disconnect();
    await server.stop();
    expect(existsSync(server.folder)).toBe(false);
  });

  it("answers nothing while it is paused, and goes on after", async () => {
    const server = await startRedis();
    const client = redis(server.url);
    server.pause();
    const answer = client.ping();
    await expect(Promise.race([answer, sleep(200, "silence")])).resolves.toBe("silence");
    server.resume();
    await expect(answer).resolves.toBe("PONG");
    client.disconnect();
    await server.stop();
  });

  it("asks for a password when told to, on its port and on its socket", async () => {
    const server = await startRedis({ password: "p@ss" });
    const [known, unknown] = [redis(server.url), redis(server.socket)];
    await expect(known.ping()).resolves.toBe("PONG");
    await expect(unknown.get("key")).rejects.toThrow("NOAUTH");
    known.disconnect();
    unknown.disconnect();
    await server.stop();
  });

  it("tells why it does not start, from the server's own log, and leaves nothing behind", async () => {
    const temporary = mkdtempSync(join(tmpdir(), "services-test-"));
    vi.stubEnv("TMPDIR", temporary);
    await expect(startRedis({ args: ["--no-such-setting", "1"] })).rejects.toThrow(/no-such-setting/);
    vi.unstubAllEnvs();
    expect(readdirSync(temporary, { recursive: true })).toEqual(["holdfast-ports"]);
    rmSync(temporary, { recursive: true });
  });

  it("can be stopped while it is paused, and twice", async () => {
    const server = await startRedis();
    const { pid } = server;
    server.pause();
    await server.stop();
    await server.stop();
    expect([isAlive(pid), server.pid]).toEqual([false, 0]);
  });
});

describe.skipIf(!inject("startsPostgres"))("startPostgres", () => {
  it("keeps what was committed over a SIGKILL when it is durable", async () => {
    const server = await startPostgres({ durable: true });
    const first = await connected(server.url);
    await first.query("create table t (v int)");
    await first.query("insert into t values (7)");
    await server.restart();
    const second = await connected(server.url);
    expect((await second.query("select v from t")).rows).toEqual([{ v: 7 }]);
    expect((await second.query("show fsync")).rows).toEqual([{ fsync: "on" }]);
    await second.end();
    await server.stop();
  });

  it("has no process left when it is killed, however many connect just then", async () => {
    const server = await startPostgres();
    for (let round = 0; round < 10; round += 1) {
      const clients = Array.from({ length: 20 }, () => connected(server.url).catch(() => undefined));
      await sleep(2 * round);
      await server.kill();
      expect(processesIn(join(server.folder, "data"))).toEqual([]);
      for (const client of await Promise.all(clients)) await client?.end().catch(() => {});
      await server.start();
    }
    await server.stop();
  });

  it("freezes its sessions too while it is paused", async () => {
    const server = await startPostgres();
    const client = await connected(server.url);
    server.pause();
    const answer = client.query("select 1 as one");
    await expect(Promise.race([answer, sleep(200, "silence")])).resolves.toBe("silence");
    server.resume();
    expect((await answer).rows).toEqual([{ one: 1 }]);
    await client.end();
    await server.stop();
    expect(existsSync(server.folder)).toBe(false);
  });
});

describe.skipIf(!inject("startsPostgres") || !canMountDisks())("startPostgres on a disk of its own", () => {
  it("has no room left when that is filled, and has when it is freed, and leaves nothing mounted", async () => {
    const server = await startPostgres({ diskMiB: 64 });
    const client = await connected(server.url);
    await client.query("create table t (v text)");
    server.disk?.fill();
    const grow = () => client.query("insert into t select repeat('x', 1000) from generate_series(1, 1000)");
    await expect(grow()).rejects.toMatchObject({ code: "53100" });
    server.disk?.free();
    await grow();
    await client.end();
    await server.stop();
    expect(existsSync(server.folder)).toBe(false);
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(server.folder);
  });

  it("leaves nothing mounted when whoever has started it is killed", async () => {
    const child = spawn(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `import { startPostgres } from ${here("index.mjs")};
        const server = await startPostgres({ diskMiB: 64 });
        console.log(JSON.stringify({ pids: [server.pid], folders: [server.folder] }));
        setInterval(() => {}, 1_000);`,
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const { folders } = await firstLine(child);
    child.kill("SIGKILL");
    await expect.poll(() => folders.some(existsSync), { timeout: 10_000 }).toBe(false);
    expect(readFileSync("/proc/mounts", "utf8")).not.toContain(folders[0]);
  });
});

describe.skipIf(!inject("startsPgBouncer"))("startPgBouncer", () => {
  it("lets clients take turns on one session of the server, a transaction at a time", async () => {
    const server = await startPostgres();
    const pooler = await startPgBouncer(server.url, { poolSize: 1 });
    const [one, other] = [await connected(pooler.url), await connected(pooler.url)];
    const pidOf = async (/** @type {pg.Client} */ client) =>
      (await client.query("select pg_backend_pid() as pid")).rows[0].pid;
    expect(await pidOf(one)).toBe(await pidOf(other));
    await one.query("begin");
    const answer = pidOf(other);
    await expect(Promise.race([answer, sleep(200, "silence")])).resolves.toBe("silence");
    await one.query("commit");
    await answer;
    for (const client of [one, other]) await client.end();
    const { pid } = pooler;
    await pooler.stop();
    await server.stop();
    expect([isAlive(pid), existsSync(pooler.folder)]).toEqual([false, false]);
  });
});

describe.skipIf(!inject("startsRedis") || !inject("startsPostgres"))("a process that starts servers", () => {
  for (const [how, prepare] of /** @type {const} */ ([
    ["is killed", ""],
    ["is killed while its servers are paused", "redis.pause(); postgres.pause();"],
  ]))
    it(`leaves nothing behind when it ${how}`, async () => {
      const child = starter(prepare, "setInterval(() => {}, 1_000);");
      const { pids, folders } = await firstLine(child);
      // A Redis, a PostgreSQL, and the processes that the latter consists of.
      expect(pids.length).toBeGreaterThan(4);
      child.kill("SIGKILL");
      await expect
        .poll(() => pids.some(isAlive) || folders.some(existsSync), { timeout: 10_000 })
        .toBe(false);
    });

  it("leaves nothing behind when it crashes without stopping them, and is not kept alive by them", async () => {
    const child = starter("", 'setTimeout(() => { throw new Error("crash"); }, 10);');
    const { pids, folders } = await firstLine(child);
    await expect.poll(() => pids.some(isAlive) || folders.some(existsSync), { timeout: 10_000 }).toBe(false);
    expect(child.exitCode).toBe(1);
  });
});

describe.skipIf(inject("redisUrl") === "")("freshKeys", () => {
  it("removes every key under its prefix, hash tags included, and no other", async () => {
    const [mine, other] = [freshKeys(inject("redisUrl")), freshKeys(inject("redisUrl"))];
    const client = redis(mine.url);
    await client.mset({ [`${mine.prefix}a`]: 1, [`{${mine.prefix}b}:c`]: 2, [`${other.prefix}a`]: 3 });
    await mine.drop();
    expect(await client.exists(`${mine.prefix}a`, `{${mine.prefix}b}:c`)).toBe(0);
    expect(await client.exists(`${other.prefix}a`)).toBe(1);
    await other.drop();
    client.disconnect();
  });
});

describe.skipIf(inject("databaseUrl") === "")("freshDatabase", () => {
  it("is empty, and is dropped although somebody is connected", async () => {
    const database = await freshDatabase(inject("databaseUrl"));
    const client = await connected(database.url);
    const tables = await client.query("select 1 from pg_tables where schemaname = 'public'");
    expect(tables.rows).toEqual([]);
    await database.drop();
    await expect(connected(database.url)).rejects.toThrow("does not exist");
  });
});

/** @param {string} url */
function redis(url) {
  const client = new Redis(url, { maxRetriesPerRequest: 100, retryStrategy: () => 50 });
  client.on("error", () => {});
  return client;
}

/** @param {string} url */
async function connected(url) {
  const client = new pg.Client(url);
  client.on("error", () => {});
  await client.connect();
  return client;
}

/**
 * A process that starts one server of each kind, does something with them, prints who they are, and goes on.
 *
 * @param {string} first
 * @param {string} then
 */
function starter(first, then) {
  const script = `
    import { startPostgres, startRedis } from ${here("index.mjs")};
    import { withChildren } from ${here("child-processes.mjs")};
    const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    const servers = [redis, postgres];
    ${first}
    const pids = servers.flatMap((one) => withChildren(one.pid));
    console.log(JSON.stringify({ pids, folders: servers.map((one) => one.folder) }));
    ${then}`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @returns {Promise<{ pids: number[], folders: string[] }>}
 */
async function firstLine(child) {
  const data = await new Promise((resolve) => child.stdout?.once("data", resolve));
  return JSON.parse(String(data));
}

/**
 * Those whose working folder it is.
 *
 * @param {string} folder
 */
function processesIn(folder) {
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return pids.filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === folder;
    } catch {
      return false;
    }
  });
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    // A dead child of a dead parent may wait for somebody to take note of it.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}
