// A queue on a real Redis that dies, and goes on where a Sentinel has put a replica in its place.
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { QueueStore, Worker } from "@holdfast/queue";
import { defineTask, handle, hasEnded, queue, worker } from "@holdfast/queue";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startReplicatedRedis } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const work = defineTask<number, number, number>({ name: "work", attempts: 50, leaseLosses: 1_000 });

describe.skipIf(!inject("startsRedis"))("a queue in Redis with replicas", () => {
  let servers: Awaited<ReturnType<typeof startReplicatedRedis>>;
  let client: Redis;
  const stores: QueueStore[] = [];
  const workers: Worker[] = [];

  beforeEach(async () => {
    servers = await startReplicatedRedis({ replicas: 2 });
    const options = { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 50, sentinelRetryStrategy: () => 50 };
    client = new Redis({ ...options, ...servers.place });
    client.on("error", () => {});
  });
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((one) => one.close({ within: "1s" })));
    await Promise.all(stores.splice(0).map((one) => one.close()));
    client.disconnect();
    await servers.stop();
  });

  function open(replicas: number): QueueStore {
    const store = redisTaskStore({ client, replicas, poll: "200ms" });
    stores.push(store);
    return store;
  }

  it(
    row(83, "goes on with all that was acknowledged when the server dies and a replica takes over"),
    { timeout: 60_000 },
    async () => {
      const store = open(1);
      const tasks = queue({ name: "work", store });
      const run = handle(work, async ({ input }) => {
        await sleep(20);
        return input + 1;
      });
      workers.push(worker(tasks, [run], { concurrency: 4, lease: "2s" }));
      const ids: string[] = [];
      let refused = 0;
      /** Under an ID of its own, a second try adds no second task. */
      const add = async (): Promise<void> => {
        const id = `task-${ids.length}`;
        for (;;) {
          try {
            await tasks.enqueue(work, ids.length, { id });
            break;
          } catch (error) {
            const { code } = error as { code?: string };
            if (code === "TASK_EXISTS") break;
            expect(code).toBe("STORE_UNAVAILABLE");
            refused += 1;
            await sleep(50);
          }
        }
        ids.push(id);
      };
      for (let n = 0; n < 100; n += 1) await add();
      const isGone = servers.master.kill();
      for (let n = 0; n < 100; n += 1) await add();
      await isGone;
      const ended = async (): Promise<number> => {
        const found = await store.get("work", ids).catch(() => []);
        return found.filter((one) => one !== undefined && hasEnded(one)).length;
      };
      await expect.poll(ended, { timeout: 20_000 }).toBe(ids.length);
      const states = (await store.get("work", ids)).map((one) => one?.state);
      expect(new Set(states)).toEqual(new Set(["completed"]));
      console.log(`${ids.length} tasks acknowledged around a failover, ${refused} calls refused, none lost`);
    },
  );

  it("[must-survive 35] says so when a failover has lost what was acknowledged, and gives no fence twice", async () => {
    const store = open(0);
    const tasks = queue({ name: "lost", store });
    const told: unknown[] = [];
    const onLost = (event: unknown): void => void told.push(event);
    subscribe("holdfast:queue:writes_lost", onLost);
    await tasks.enqueue(work, 1, { id: "kept" });
    await client.wait(2, 5_000);

    for (const replica of servers.replicas) replica.pause();
    // What is on its way to them would still arrive.
    await client.call("CLIENT", "KILL", "TYPE", "replica");
    await tasks.enqueue(work, 2, { id: "lost" });
    const before = await store.claim("lost", { worker: "w", max: 2, leaseMs: 60_000 });
    expect(before.map(({ id }) => id)).toEqual(["kept", "lost"]);
    const waiting = tasks.wait(work, "lost").catch((error: unknown) => error);
    await servers.master.kill();
    for (const replica of servers.replicas) replica.resume();

    const stats = (): Promise<unknown> => tasks.stats().catch(() => undefined);
    await expect.poll(stats, { timeout: 20_000 }).toMatchObject({ ready: 1, running: 0 });
    expect(told).toEqual([{ queue: "lost", store: "redis", known: 4, left: 1 }]);
    unsubscribe("holdfast:queue:writes_lost", onLost);
    expect(await waiting).toMatchObject({ code: "STORE_UNAVAILABLE" });
    await expect(tasks.wait(work, "lost")).rejects.toMatchObject({ code: "TASK_NOT_FOUND" });
    const [after] = await store.claim("lost", { worker: "w", max: 2, leaseMs: 60_000 });
    expect(after).toMatchObject({ id: "kept" });
    expect(after!.fence).toBeGreaterThan(Math.max(...before.map(({ fence }) => fence)));
  });
});
