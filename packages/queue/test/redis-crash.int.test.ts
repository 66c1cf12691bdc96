// Real processes on a real Redis that are killed and frozen in the middle of everything.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { Queue, QueueStore } from "@holdfast/queue";
import { defineTask, handle, hasEnded, queue, worker } from "@holdfast/queue";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startProxy, startRedis } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import { addedInHarm, NETWORK_HARMS } from "./support/network-harms.ts";

const WORKER = fileURLToPath(new URL("./fixtures/redis-worker.mjs", import.meta.url));
const PREFIX = "crash:";
const LEASE_MS = 600;
const WORKERS = 3;
const ended = ["completed", "failed", "cancelled"];

const work = defineTask<{ ms: number }, { ms: number }, { fence: number }>({
  name: "work",
  attempts: 50,
  leaseLosses: 1_000,
  keepFor: "1d",
});

interface OrderResult {
  readonly fence: number;
  readonly paid: number;
  readonly told: string;
  readonly parts: readonly string[];
}

const order = defineTask<{ parts: number }, { parts: number }, OrderResult>({
  name: "order",
  attempts: 50,
  leaseLosses: 1_000,
  keepFor: "1d",
});

describe.skipIf(!inject("startsRedis"))("a queue in Redis whose processes die", () => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  let client: Redis;
  let effects: Redis;
  let store: QueueStore;
  let tasks: Queue;
  const workers: ChildProcess[] = [];
  let losses: unknown[];
  const onLost = (event: unknown): void => void losses.push(event);

  beforeEach(async () => {
    losses = [];
    subscribe("holdfast:queue:writes_lost", onLost);
    server = await startRedis({ appendOnly: true });
    client = new Redis(server.url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 50 });
    effects = new Redis(server.url, { retryStrategy: () => 50 });
    for (const one of [client, effects]) one.on("error", () => {});
    store = redisTaskStore({ client, prefix: PREFIX, poll: "300ms" });
    tasks = queue({ name: "work", store, limit: 1_000_000 });
  });
  afterEach(async () => {
    for (const child of workers.splice(0)) child.kill("SIGKILL");
    await store.close();
    client.disconnect();
    effects.disconnect();
    await server.stop();
    unsubscribe("holdfast:queue:writes_lost", onLost);
    expect(losses).toEqual([]);
  });

  function startWorker(): ChildProcess {
    const child = spawn(process.execPath, [WORKER, server.url, PREFIX, String(LEASE_MS)], {
      stdio: "inherit",
    });
    workers.push(child);
    return child;
  }

  /** Waits until a worker has run something lately, so that it dies at work however slow the machine is. */
  async function atWork({ pid }: ChildProcess): Promise<void> {
    for (const until = performance.now() + 5_000; performance.now() < until; await sleep(20)) {
      const latest = await effects.lrange(`${PREFIX}effects`, -100, -1);
      if (latest.some((line) => line.endsWith(` ${pid}`))) return;
    }
  }

  /** Does something for as long as it takes until the store has heard of it. */
  async function insisted<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if ((error as { code?: string }).code !== "STORE_UNAVAILABLE") throw error;
        await sleep(50);
      }
    }
  }

  /** Adds a task: under an ID of its own, a second try adds no second task. */
  async function added(id: string, turn: number, to: Queue = tasks): Promise<void> {
    await insisted(async () => {
      try {
        await to.enqueue(work, { ms: 10 + (turn % 10) * 20 }, { id });
      } catch (error) {
        if ((error as { code?: string }).code !== "TASK_EXISTS") throw error;
      }
    });
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
    const runs = (await effects.lrange(`${PREFIX}effects`, 0, -1)).map((line) => line.split(" "));
    const highest = new Map<string, number>();
    for (const [id, ...words] of runs)
      highest.set(id!, Math.max(highest.get(id!) ?? 0, Number(words.at(-2))));
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
    row(
      82,
      "[must-survive 28] ends every acknowledged task once while workers are killed and frozen past their leases",
    ),
    { timeout: 120_000 },
    async () => {
      for (let n = 0; n < WORKERS; n += 1) startWorker();
      const ids: string[] = [];
      const harm = { killed: 0, frozen: 0 };
      for (let round = 0; round < 12; round += 1) {
        const batch = Array.from({ length: 60 }, (_, index) => `task-${round}-${index}`);
        await Promise.all(batch.map((id, index) => added(id, index)));
        ids.push(...batch);
        const victim = workers[round % workers.length]!;
        await atWork(victim);
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
    "ends every acknowledged task once while Redis is killed and restarted",
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
      await expectSound(ids, `Redis killed and restarted ${restarts} times`);
    },
  );

  it(
    "ends every saga once, with all its parts, while workers are killed and Redis is restarted",
    { timeout: 180_000 },
    async () => {
      for (let n = 0; n < WORKERS; n += 1) startWorker();
      const ids = Array.from({ length: 24 }, (_, index) => `order-${index}`);
      const heard = new Map<string, string>();
      for (const id of ids)
        await insisted(() =>
          tasks.enqueue(order, { parts: 3 }, { id }).catch((error: unknown) => {
            if ((error as { code?: string }).code !== "TASK_EXISTS") throw error;
          }),
        );
      for (let round = 0; round < 8; round += 1) {
        await sleep(250);
        const adding = ids.filter((_, index) => index % 8 === round);
        if (round % 4 === 2) await server.restart();
        else {
          const victim = workers.shift()!;
          await atWork(victim);
          victim.kill("SIGKILL");
          startWorker();
        }
        for (const id of adding) {
          const outcome = await insisted(() => tasks.signal(id, "told", `in round ${round}`));
          // Not told: it was told before, and the answer was lost.
          expect(["delivered", "duplicate"]).toContain(outcome);
          heard.set(id, `in round ${round}`);
        }
      }
      await untilAllEnded(ids, 90_000);
      const parts: string[] = [];
      for (const id of ids) {
        const result = (await tasks.result(id))?.value as OrderResult;
        expect(result, id).toMatchObject({ told: heard.get(id), parts: Array(3).fill("completed") });
        const children = await store.children("work", id);
        expect(children.map(({ state, parent }) => `${state} of ${parent}`)).toEqual(
          Array(3).fill(`completed of ${id}`),
        );
        parts.push(...children.map((child) => child.id));
      }
      await expectSound([...ids, ...parts], "24 sagas of 3 parts; 6 workers killed, Redis restarted twice");
    },
  );

  it.each(NETWORK_HARMS)(
    "adds and ends every task once while %s in every other round",
    { timeout: 120_000 },
    async (harm, strike) => {
      await using proxy = await startProxy(server.url);
      const lossy = new Redis(proxy.url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
      lossy.on("error", () => {});
      const lossyStore = redisTaskStore({ client: lossy, prefix: PREFIX, poll: "300ms", deadline: "500ms" });
      const far = queue({ name: "work", store: lossyStore });
      const running = worker(
        far,
        [
          handle(work, async ({ id, fence }) => {
            await effects.rpush(`${PREFIX}effects`, `${id} ${fence} here`);
            return { fence };
          }),
        ],
        { concurrency: 8, lease: LEASE_MS },
      );
      const ids = await addedInHarm(proxy, strike, 30, (id, index) => added(id, index, far));
      await untilAllEnded(ids, 60_000);
      await running.close({ within: "2s" });
      await lossyStore.close();
      lossy.disconnect();
      await expectSound(ids, `${harm} in every other round`);
    },
  );

  it("[pitfall 2] refuses whatever a zombie writes, however late", { timeout: 60_000 }, async () => {
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

  it(
    "[pitfall 23] gives tasks back when a worker is told to stop, and uses up no try",
    { timeout: 60_000 },
    async () => {
      const child = startWorker();
      await tasks.enqueue(work, { ms: 60_000 }, { id: "long" });
      for (;;) {
        if ((await tasks.status("long")).state === "running") break;
        await sleep(20);
      }
      child.kill("SIGTERM");
      await once(child, "exit");
      expect(await tasks.status("long")).toMatchObject({ state: "ready", attempt: 1, leaseLosses: 0 });
    },
  );
});
