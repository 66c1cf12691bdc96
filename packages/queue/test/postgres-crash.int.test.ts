// Real processes on a real PostgreSQL that are killed and frozen in the middle of everything.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, hasEnded, queue, worker } from "@holdfast/queue";
import type { PostgresTaskStore } from "@holdfast/queue/postgres";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startPostgres, startProxy } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import { addedInHarm, NETWORK_HARMS } from "./support/network-harms.ts";

const WORKER = fileURLToPath(new URL("./fixtures/postgres-worker.mjs", import.meta.url));
const LEASE_MS = 600;
const WORKERS = 3;
const ended = ["completed", "failed", "cancelled"];

const work = defineTask<{ ms: number }, { ms: number }, { fence: number }>({
  name: "work",
  attempts: 50,
  leaseLosses: 1_000,
  keepFor: "1d",
});

describe.skipIf(!inject("startsPostgres"))("a queue in PostgreSQL whose processes die", () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let pool: pg.Pool;
  let store: PostgresTaskStore;
  let tasks: Queue;
  const workers: ChildProcess[] = [];

  beforeEach(async () => {
    server = await startPostgres({ durable: true });
    pool = new pg.Pool({ connectionString: server.url, connectionTimeoutMillis: 1_000 });
    pool.on("error", () => {});
    await pool.query("create table effects (id text, fence bigint, pid int)");
    store = postgresTaskStore({ client: pool, poll: "300ms" });
    tasks = queue({ name: "work", store, limit: 1_000_000 });
  });
  afterEach(async () => {
    for (const child of workers.splice(0)) child.kill("SIGKILL");
    await store.close();
    await pool.end();
    await server.stop();
  });

  function startWorker(): ChildProcess {
    const child = spawn(process.execPath, [WORKER, server.url, String(LEASE_MS)], {
      stdio: "inherit",
    });
    workers.push(child);
    return child;
  }

  /** Adds a task for as long as that takes: under an ID of its own, a second try adds no second task. */
  async function added(id: string, turn: number, to: Queue = tasks): Promise<void> {
    for (;;) {
      try {
        await to.enqueue(work, { ms: 10 + (turn % 10) * 20 }, { id });
        return;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "TASK_EXISTS") return;
        if (code !== "STORE_UNAVAILABLE") throw error;
        await sleep(50);
      }
    }
  }

  async function untilAllEnded(ids: readonly string[], withinMs: number): Promise<void> {
    for (const until = performance.now() + withinMs; performance.now() < until; await sleep(200)) {
      const found = await store.get("work", ids).catch(() => []);
      if (found.length > 0 && found.every((status) => status !== undefined && hasEnded(status))) return;
    }
  }

  /** Each has ended once, by the run that had the highest fence, and what is counted is what is there. */
  async function expectSound(ids: readonly string[], note: string): Promise<void> {
    const found = await store.get("work", ids);
    expect(found.filter((status) => status?.state !== "completed")).toEqual([]);
    const { rows: runs } = await pool.query<{ id: string; fence: string }>("select id, fence from effects");
    const highest = new Map<string, number>();
    for (const { id, fence } of runs) highest.set(id, Math.max(highest.get(id) ?? 0, Number(fence)));
    for (const id of ids) {
      const result = (await tasks.result(id))?.value as { fence: number };
      expect(result.fence, id).toBe(highest.get(id));
      const page = await store.events("work", id, 0, 1_000);
      expect(
        page!.events.filter(({ type }) => ended.includes(type)),
        id,
      ).toHaveLength(1);
      expect(page!.events.map(({ seq }) => seq)).toEqual(page!.events.map((_, index) => index + 1));
    }
    expect(await store.stats("work")).toEqual({
      scheduled: 0,
      waiting: 0,
      ready: 0,
      running: 0,
      completed: ids.length,
      failed: 0,
      cancelled: 0,
    });
    console.log(`${note}: ${ids.length} tasks, ${runs.length - ids.length} of them run once more`);
  }

  it(
    row(82, "ends every acknowledged task once while workers are killed and frozen past their leases"),
    { timeout: 120_000 },
    async () => {
      for (let n = 0; n < WORKERS; n += 1) startWorker();
      const ids: string[] = [];
      const harm = { killed: 0, frozen: 0 };
      for (let round = 0; round < 12; round += 1) {
        const batch = Array.from({ length: 60 }, (_, index) => `task-${round}-${index}`);
        await Promise.all(batch.map((id, index) => added(id, index)));
        ids.push(...batch);
        await sleep(150);
        const victim = workers[round % workers.length]!;
        if (round % 3 === 0) {
          victim.kill("SIGSTOP");
          harm.frozen += 1;
          void sleep(LEASE_MS * 2).then(() => victim.kill("SIGCONT"));
        } else {
          victim.kill("SIGKILL");
          harm.killed += 1;
          workers.splice(workers.indexOf(victim), 1);
          startWorker();
        }
      }
      await untilAllEnded(ids, 60_000);
      await expectSound(ids, `${harm.killed} workers killed, ${harm.frozen} frozen`);
    },
  );

  it(
    "ends every acknowledged task once while PostgreSQL is killed and restarted",
    { timeout: 120_000 },
    async () => {
      for (let n = 0; n < WORKERS; n += 1) startWorker();
      const ids: string[] = [];
      let restarts = 0;
      for (let round = 0; round < 4; round += 1) {
        const batch = Array.from({ length: 80 }, (_, index) => `task-${round}-${index}`);
        const adding = Promise.all(batch.map((id, index) => added(id, index)));
        await sleep(20);
        await server.restart();
        restarts += 1;
        await adding;
        ids.push(...batch);
        await sleep(300);
      }
      await untilAllEnded(ids, 60_000);
      await expectSound(ids, `PostgreSQL killed and restarted ${restarts} times`);
    },
  );

  it.each(NETWORK_HARMS)(
    "adds and ends every task once while %s in every other round",
    { timeout: 120_000 },
    async (harm, strike) => {
      await using proxy = await startProxy(server.url);
      const lossy = new pg.Pool({ connectionString: proxy.url, connectionTimeoutMillis: 500 });
      lossy.on("error", () => {});
      const lossyStore = postgresTaskStore({ client: lossy, poll: "300ms", deadline: "500ms" });
      const far = queue({ name: "work", store: lossyStore });
      await store.migrate();
      const running = worker(
        far,
        [
          handle(work, async ({ id, fence }) => {
            await pool.query("insert into effects values ($1, $2, 0)", [id, fence]);
            return { fence };
          }),
        ],
        { concurrency: 8, lease: LEASE_MS },
      );
      const ids = await addedInHarm(proxy, strike, 20, (id, index) => added(id, index, far));
      await untilAllEnded(ids, 60_000);
      await running.close({ within: "2s" });
      await lossyStore.close();
      await lossy.end();
      await expectSound(ids, `${harm} in every other round`);
    },
  );

  it("refuses whatever a zombie writes, however late", { timeout: 60_000 }, async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `task-${index}`);
    await Promise.all(ids.map((id, index) => added(id, index)));
    const zombies = await store.claim("work", { worker: "zombie", max: 20, leaseMs: 200 });
    expect(zombies).toHaveLength(20);
    await sleep(250);
    startWorker();
    await untilAllEnded(ids.slice(0, 1), 30_000);
    const stale = zombies.map(({ id, fence }) => ({ id, fence }));
    const late = { text: '"zombie"', blobs: [] };
    const answers = [
      ...(await store.renew("work", stale, 10_000)),
      ...(await store.report(
        "work",
        stale.map((lease) => ({ ...lease, reports: [{ kind: "progress", value: 1 }] })),
      )),
      ...(
        await store.settle(
          "work",
          stale.map((lease) => ({ ...lease, kind: "complete", result: late })),
        )
      ).outcomes,
    ];
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set(['{"written":false,"cause":"lease_lost"}']),
    );
    await untilAllEnded(ids, 30_000);
    await expectSound(ids, "a zombie with 20 leases");
  });

  it("gives tasks back when a worker is told to stop, and uses up no try", { timeout: 60_000 }, async () => {
    const child = startWorker();
    await tasks.enqueue(work, { ms: 60_000 }, { id: "long" });
    for (;;) {
      if ((await tasks.status("long")).state === "running") break;
      await sleep(20);
    }
    child.kill("SIGTERM");
    await once(child, "exit");
    expect(await tasks.status("long")).toMatchObject({ state: "ready", attempt: 1, leaseLosses: 0 });
  });
});
