// The built command as a process, on a real Redis.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { Queue, QueueStore } from "@holdfast/queue";
import { defineTask, queue } from "@holdfast/queue";
import { encrypted } from "@holdfast/queue/codec";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Cluster, Redis } from "ioredis";
import pg from "pg";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  inject,
  it,
  onTestFinished,
} from "vitest";
import { startPostgres, startRedis, startRedisCluster } from "../../../tools/services/index.mjs";
import { EVIL, fill } from "./support/every-state.ts";
import type { Filled } from "./support/every-state.ts";

const CLI = fileURLToPath(new URL("../dist/cli.js", import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function cli(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args], { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}

describe("holdfast-queue, asked wrongly", () => {
  it.each([
    [[], "COMMAND: is missing."],
    [["stat"], "stat: is no command. There are stats, list"],
    [["stats"], "--redis: or --postgres is missing. Say where the tasks are"],
    [["stats", "--redis", "redis://h"], "--queue: is missing. Name the queue."],
    [["stats", "--redis", "http://h", "-q", "a"], "--redis: is no such URL. It begins with redis://."],
    [["stats", "--redis", "redis://h", "-q", "a b"], "--queue: is no name of a queue."],
    [
      ["stats", "--redis", "redis://h", "--postgres", "postgres://h", "-q", "a"],
      "--postgres: and --redis exclude",
    ],
    [["stats", "--redis", "redis://h", "--schema", "s", "-q", "a"], "--schema: is for --postgres."],
    [["stats", "--redis", "redis://h", "-q", "a", "b"], "b: is one argument too many for stats."],
    [["stats", "--redis", "redis://h", "-q", "a", "--colour"], "--colour: is no option."],
    [["stats", "--redis", "redis://h", "-q"], "-q"],
    [["stats", "--redis", "redis://h", "-q", "a", "--timeout", "soon"], '--timeout: is not "soon".'],
    [["list", "--redis", "redis://h", "-q", "a"], "STATE: is missing."],
    [["list", "lost", "--redis", "redis://h", "-q", "a"], "lost: is no state. There are scheduled,"],
    [
      ["list", "ready", "--redis", "redis://h", "-q", "a", "--max", "0"],
      '--max: is not "0". It is a whole number',
    ],
    [["inspect", "--redis", "redis://h", "-q", "a"], "ID: is missing."],
    [
      ["redrive", "--redis", "redis://h", "-q", "a"],
      "IDs: is missing. redrive takes IDs of tasks, or --all.",
    ],
    [["redrive", "x", "--all", "--redis", "redis://h", "-q", "a"], "--all: and IDs exclude each other."],
    [
      ["discard", "--all", "--redis", "redis://h", "-q", "a"],
      "--all: forgets all dead letters for good. Say so with --yes.",
    ],
    [["cancel", "x", "--all", "--redis", "redis://h", "-q", "a"], "--all: "],
    [["migrate", "--redis", "redis://h"], "migrate: Redis has no tables."],
    [["stats", "--payloads", "--redis", "redis://h", "-q", "a"], "--payloads: is not for stats."],
    [["stats", "--dry-run", "--redis", "redis://h", "-q", "a"], "--dry-run: is not for stats."],
  ] as const)("ends with 2 and names what is wrong: %j", async (args, message) => {
    const { code, stdout, stderr } = await cli(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^.+\n$/);
  });

  it("says it as JSON where that is asked for, and shows no password", async () => {
    const { code, stderr } = await cli("stats", "--json", "--redis", "http://me:secret@h", "-q", "a");
    expect([code, JSON.parse(stderr)]).toEqual([
      2,
      { error: { code: "CLI_USAGE", message: "--redis: is no such URL. It begins with redis://." } },
    ]);
  });

  it("helps", async () => {
    const { code, stdout } = await cli("--help");
    expect(code).toBe(0);
    for (const command of ["stats", "inspect ID", "redrive ID", "doctor", "migrate", "--dry-run"])
      expect(stdout).toContain(command);
  });
});

describe("holdfast-queue, when nobody answers", () => {
  it("ends with 3 at once when the server is not there", async () => {
    const { code, stderr } = await cli(
      "stats",
      "--redis",
      "redis://127.0.0.1:1",
      "-q",
      "a",
      "--timeout",
      "5s",
    );
    expect(code).toBe(3);
    expect(stderr).toMatch(/redis/);
  });

  it("ends with 3 in its time when the server says nothing", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    onTestFinished(() => void silent.close());
    const url = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    for (const command of ["stats", "doctor", "watch"]) {
      const { code, stderr } = await cli(command, "--redis", url, "-q", "a", "--timeout", "700ms", "--json");
      expect([command, code]).toEqual([command, 3]);
      expect(JSON.parse(stderr)).toMatchObject({
        error: { code: expect.stringMatching(/STORE_UNAVAILABLE|CLI_TIMEOUT/) },
      });
    }
  });
});

describe.skipIf(!inject("startsRedis"))("holdfast-queue, on Redis", () => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  let client: Redis;
  let store: QueueStore;
  let images: Queue;
  let filled: Filled;
  let at: readonly string[];

  beforeAll(async () => {
    server = await startRedis({ appendOnly: true });
    client = new Redis(server.url, REDIS_CLIENT_OPTIONS);
    client.on("error", () => {});
    await once(client, "ready");
  });
  afterAll(async () => {
    client.disconnect();
    await server.stop();
  });
  beforeEach(async () => {
    await client.flushall();
    store = redisTaskStore({ client, prefix: "cli:" });
    images = queue({ name: "images", store });
    filled = await fill(images);
    at = ["--redis", server.url, "--prefix", "cli:", "--queue", "images"];
  });
  afterEach(async () => {
    await store.close();
  });

  async function json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await cli(...args, ...at, "--json");
    expect([code, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout) as T;
  }

  it("counts tasks and what has happened", async () => {
    const { counts, meter } = await json<{ counts: object; meter: object }>("stats");
    expect(counts).toEqual(await images.stats());
    expect(meter).toMatchObject({ completed: 1, failed: 4, cancelled: 1, retried: 1, paused: false });
    const { stdout } = await cli("stats", ...at);
    expect(stdout).toMatch(/^failed {6,}4$/m);
    expect(stdout).toMatch(/the next was added/);
  });

  it("lists tasks by state, and shows names that are markup or commands to a terminal as text", async () => {
    const ready = await json<{ tasks: { id: string }[] }>("list", "ready", "--max", "2");
    expect(ready.tasks).toHaveLength(2);
    await images.enqueue(defineTask({ name: "\u001B[2Jcleared\u202E" }), {}, { priority: 900 });
    const { stdout } = await cli("list", "ready", ...at);
    expect(stdout).toContain(EVIL.slice(0, 30));
    expect(stdout).toContain("cleared");
    expect(["\u001B", "\u202E"].filter((one) => stdout.includes(one))).toEqual([]);
  });

  it("inspects a task: its events, steps and children", async () => {
    const done = await json<{ task: object; events: { type: string }[]; steps: string[] }>(
      "inspect",
      filled.completed,
    );
    expect(done.task).toEqual(await images.status(filled.completed));
    expect(done.steps).toEqual(["download", "resize"]);
    expect(done.events.at(-1)!.type).toBe("completed");
    const parent = await json<{ children: object[] }>("inspect", filled.parent);
    expect(parent.children).toMatchObject([{ id: filled.child, state: "ready" }]);
    const { stdout } = await cli("inspect", filled.completed, ...at);
    expect(stdout).toMatch(/steps: download, resize/);
    const unknown = await cli("inspect", "unknown", ...at);
    expect([unknown.code, unknown.stdout]).toEqual([1, ""]);
    expect(unknown.stderr).toMatch(/there is no task "unknown"/);
  });

  it("shows payloads only when asked to, as they are stored", async () => {
    const [dead] = filled.failed;
    for (const id of [dead!, filled.completed]) {
      const { stdout } = await cli("inspect", id, ...at);
      expect(stdout).not.toMatch(/7\.png|81920|width/);
    }
    const failed = await json<{ payloads: object[] }>("inspect", dead!, "--payloads");
    const text = '{"url":"https://images.example/7.png"}';
    expect(failed.payloads).toEqual([{ part: "input", text, blobs: [] }]);
    const done = await json<{ payloads: object[] }>("inspect", filled.completed, "--payloads");
    expect(done.payloads).toEqual([
      { part: "step", name: "download", text: '{"bytes":81920}', blobs: [] },
      { part: "step", name: "resize", text: JSON.stringify(EVIL), blobs: [] },
      { part: "result", text: JSON.stringify({ width: 128, note: EVIL }), blobs: [] },
    ]);
    expect((await cli("inspect", dead!, "--payloads", ...at)).stdout).toContain(`\ninput:\n${text}\n`);

    const keys = { current: "k", keys: { k: new Uint8Array(32) } };
    const secret = queue({ name: "images", store, codecs: [encrypted(keys)] });
    const { id } = await secret.enqueue(defineTask({ name: "hidden" }), "nobody else's business");
    const sealed = await json<{ payloads: { text: string; blobs: string[] }[] }>("inspect", id, "--payloads");
    expect(sealed.payloads).toMatchObject([{ part: "input", text: '["$sealed","k"]' }]);
    const bytes = sealed.payloads[0]!.blobs.map((blob) => Buffer.from(blob, "base64").toString("latin1"));
    expect(bytes.join()).not.toContain("business");
  });

  it("goes through dead letters, redrives and discards them", async () => {
    const first = await json<{ tasks: { id: string }[] }>("dead-letters", "--max", "1");
    const rest = await json<{ tasks: { id: string }[] }>("dead-letters", "--after", first.tasks[0]!.id);
    expect([...first.tasks, ...rest.tasks].map(({ id }) => id)).toEqual(filled.failed);
    expect(await json("redrive", filled.failed[0]!, "unknown", filled.running)).toEqual({
      changed: 1,
      tasks: [
        { id: filled.failed[0], outcome: "redriven" },
        { id: "unknown", outcome: "unknown" },
        { id: filled.running, outcome: "not_failed" },
      ],
    });
    expect(await json("discard", filled.failed[1]!)).toMatchObject({ changed: 1 });
    expect((await cli("redrive", filled.failed[1]!, ...at)).code).toBe(1);
    expect(await json("redrive", "--all")).toEqual({ changed: 2 });
    expect(await images.stats()).toMatchObject({ failed: 0, ready: 6 });
    expect(await json("discard", "--all", "--yes")).toEqual({ changed: 0 });
  });

  it("cancels, pauses, resumes", async () => {
    expect(await json("cancel", filled.running, "--reason", "maintenance")).toMatchObject({ changed: 1 });
    expect(await images.status(filled.running)).toMatchObject({ state: "cancelled", reason: "maintenance" });
    expect(await json("pause")).toEqual({ paused: true });
    expect((await images.meter()).paused).toBe(true);
    expect((await cli("resume", ...at)).stdout).toBe("resumed\n");
    expect((await images.meter()).paused).toBe(false);
  });

  it("lists schedules", async () => {
    const { schedules } = await json<{ schedules: object[] }>("schedules");
    expect(schedules).toMatchObject([{ key: "nightly-report", text: EVIL }]);
  });

  it("finds a server and a queue well, and what is not", async () => {
    const well = await json<{ fit: boolean; checks: { name: string; level: string }[] }>("doctor");
    expect(well.fit).toBe(true);
    expect(well.checks.map(({ name, level }) => `${name} ${level}`)).toEqual([
      "version ok",
      "role ok",
      "eviction ok",
      "memory ok",
      "persistence ok",
      "clock ok",
      "paused ok",
      "waiting ok",
      "dead letters warning",
      "leases ok",
      "lost workers ok",
      "schedules ok",
    ]);
    await client.config("SET", "maxmemory-policy", "allkeys-lru");
    await client.config("SET", "appendonly", "no");
    await store.setSchedule("images", { key: "late", text: "", nextAt: images.clock.now() - 3_600_000 });
    const ill = await cli("doctor", ...at);
    await client.config("SET", "maxmemory-policy", "noeviction");
    await client.config("SET", "appendonly", "yes");
    expect(ill.code).toBe(1);
    expect(ill.stdout).toMatch(/^fault +eviction +allkeys-lru may throw tasks away/m);
    expect(ill.stdout).toMatch(/^warning +persistence/m);
    expect(ill.stdout).toMatch(/^fault +schedules +1 of 2 are late/m);
  });

  it("refuses to work on a server that may lose tasks", async () => {
    await client.config("SET", "maxmemory-policy", "allkeys-lru");
    const { code, stderr } = await cli("stats", ...at);
    await client.config("SET", "maxmemory-policy", "noeviction");
    expect(code).toBe(1);
    expect(stderr).toMatch(/maxmemory-policy is allkeys-lru/);
  });

  it("watches as often as it is told, and until it is stopped", async () => {
    const { code, stdout } = await cli("watch", ...at, "--json", "--every", "100ms", "--count", "2");
    const looks = stdout.trim().split("\n");
    expect([code, looks.length]).toEqual([0, 2]);
    expect(JSON.parse(looks[1]!)).toMatchObject({ ready: 3, running: 1, deadLetters: 4, completed: 0 });
    const child = spawn(process.execPath, [CLI, "watch", ...at, "--every", "50ms"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await sleep(100);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("ends quietly when its reader has seen enough", async () => {
    const child = spawn(process.execPath, [CLI, "watch", ...at, "--every", "20ms"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    await once(child.stdout, "data");
    child.stdout.destroy();
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});

describe.skipIf(!inject("startsRedis"))("holdfast-queue, on a Redis Cluster", () => {
  it(
    "finds all nodes by one, looks and operates, and sees to every master",
    { timeout: 120_000 },
    async () => {
      await using servers = await startRedisCluster();
      const cluster = new Cluster([...servers.nodes], { redisOptions: { ...REDIS_CLIENT_OPTIONS } });
      onTestFinished(() => cluster.disconnect());
      await once(cluster, "ready");
      const store = redisTaskStore({ client: cluster });
      const [first, , last] = servers.nodes as readonly { readonly host: string; readonly port: number }[];
      const at = ["--redis", `redis://${first!.host}:${first!.port}`, "--json", "-q"];
      // Of queues with other names, most are on other nodes.
      for (const name of ["images", "mails", "reports"]) {
        const there = queue({ name, store });
        const { failed } = await fill(there);
        const counted = await cli("stats", ...at, name);
        expect([name, counted.stderr, counted.code]).toEqual([name, "", 0]);
        expect(JSON.parse(counted.stdout)).toMatchObject({ counts: await there.stats() });
        expect(JSON.parse((await cli("redrive", failed[0]!, ...at, name)).stdout)).toMatchObject({
          changed: 1,
        });
      }
      const well = await cli("doctor", ...at, "images");
      const { fit, checks } = JSON.parse(well.stdout) as {
        fit: boolean;
        checks: { name: string; text: string }[];
      };
      expect([well.code, fit]).toEqual([0, true]);
      const policies = checks.filter(({ name }) => name === "eviction").map(({ text }) => text);
      expect(policies.sort()).toEqual(
        servers.nodes.map(({ port }) => `127.0.0.1:${port}: noeviction`).sort(),
      );

      const node = new Redis(last!.port, last!.host);
      await node.config("SET", "maxmemory-policy", "allkeys-lru");
      node.disconnect();
      const ill = await cli("doctor", ...at, "images");
      expect(ill.code).toBe(1);
      expect(ill.stdout).toContain(`127.0.0.1:${last!.port}: allkeys-lru may throw tasks away`);
      expect((await cli("stats", ...at, "images")).stderr).toContain("STORE_UNFIT");
      await store.close();
    },
  );
});

describe.skipIf(!inject("startsPostgres"))("holdfast-queue, on PostgreSQL", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let pool: pg.Pool;

  beforeAll(async () => {
    server = await startPostgres();
    pool = new pg.Pool({ connectionString: server.url });
    pool.on("error", () => {});
  });
  afterAll(async () => {
    await pool.end();
    await server.stop();
  });

  it(
    "shows what would be migrated, migrates, looks, operates, and finds all well",
    { timeout: 120_000 },
    async () => {
      const at = ["--postgres", server.url, "--schema", "jobs", "--json"];
      const run = async <T>(...args: readonly string[]): Promise<T> => {
        const { code, stdout, stderr } = await cli(...args, ...at);
        expect([args, code, stderr]).toEqual([args, 0, ""]);
        return JSON.parse(stdout) as T;
      };
      const unready = await cli("doctor", ...at, "-q", "images");
      expect(unready.code).toBe(1);
      expect(unready.stdout).toMatch(/"name":"tables","level":"fault"/);
      expect((await cli("stats", ...at, "-q", "images")).code).toBe(1);

      const dry = await run<{ migrations: string[]; statements: string[] }>("migrate", "--dry-run");
      expect(dry.migrations.length).toBeGreaterThan(0);
      expect(dry.statements.join("\n")).toMatch(/create table/i);
      expect((await pool.query("select to_regnamespace('jobs') as there")).rows).toEqual([{ there: null }]);
      expect(await run("migrate")).toEqual({ dryRun: false, migrations: dry.migrations });
      expect(await run("migrate")).toEqual({ dryRun: false, migrations: [] });

      const store = postgresTaskStore({ client: pool, schema: "jobs", migrate: false, listen: false });
      const images = queue({ name: "images", store });
      const { failed, completed } = await fill(images);
      const { counts } = await run<{ counts: object }>("stats", "-q", "images");
      expect(counts).toEqual(await images.stats());
      expect(await run("inspect", completed, "-q", "images")).toMatchObject({
        steps: ["download", "resize"],
      });
      expect(await run("redrive", failed[0]!, "-q", "images")).toMatchObject({ changed: 1 });
      expect(await run("redrive", "--all", "-q", "images")).toEqual({ changed: 3 });
      const { fit, checks } = await run<{ fit: boolean; checks: { name: string; level: string }[] }>(
        "doctor",
        "-q",
        "images",
      );
      expect([fit, checks.filter(({ level }) => level !== "ok").map(({ name }) => name)]).toEqual([
        true,
        ["persistence"],
      ]);
      await store.close();
    },
  );
});
