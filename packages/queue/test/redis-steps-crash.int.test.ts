// Tasks made of steps on a real Redis, whose workers are killed with SIGKILL.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { Queue, QueueStore } from "@holdfast/queue";
import { defineTask, hasEnded, queue } from "@holdfast/queue";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { startRedis } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";

const WORKER = fileURLToPath(new URL("./fixtures/redis-steps-worker.mjs", import.meta.url));
const PREFIX = "steps:";
const LEASE_MS = 600;

interface Plan {
  readonly steps: number;
  /** The effect that ends the worker, once. */
  readonly dieAt?: string;
}
const options = { attempts: 100, leaseLosses: 1_000, keepFor: "1d" } as const;
const chain = defineTask<Plan, Plan, readonly string[]>({ name: "chain", ...options });
const order = defineTask<Plan>({ name: "order", ...options });

describe.skipIf(!inject("startsRedis"))("tasks made of steps whose workers are killed", () => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  let client: Redis;
  let store: QueueStore;
  let tasks: Queue;
  const workers: ChildProcess[] = [];

  beforeEach(async () => {
    server = await startRedis({ appendOnly: true });
    client = new Redis(server.url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 50 });
    client.on("error", () => {});
    store = redisTaskStore({ client, prefix: PREFIX, poll: "300ms" });
    tasks = queue({ name: "steps", store });
  });
  afterEach(async () => {
    for (const child of workers.splice(0)) child.kill("SIGKILL");
    await store.close();
    client.disconnect();
    await server.stop();
  });

  function startWorker(): void {
    const child = spawn(process.execPath, [WORKER, server.url, PREFIX, String(LEASE_MS)], {
      stdio: "inherit",
    });
    workers.push(child);
    // One that has killed itself is replaced.
    child.once("exit", () => {
      if (workers.includes(child)) startWorker();
    });
  }

  /** What was done for a task, in order. */
  async function effectsOf(id: string): Promise<readonly string[]> {
    const lines = (await client.lrange(`${PREFIX}effects`, 0, -1)).map((line) => line.split(" "));
    return lines.filter(([of]) => of === id).map(([, what]) => what!);
  }

  async function untilAllEnded(ids: readonly string[], withinMs: number): Promise<void> {
    for (const until = performance.now() + withinMs; performance.now() < until; await sleep(200)) {
      const found = await store.get("steps", ids).catch(() => []);
      if (found.length > 0 && found.every((status) => status !== undefined && hasEnded(status))) return;
    }
  }

  it(row(90, "resumes at the last checkpoint after kill -9 in the middle of a step"), async () => {
    startWorker();
    await tasks.enqueue(chain, { steps: 5, dieAt: "3" }, { id: "one" });
    await tasks.signal("one", "go", "went");
    await untilAllEnded(["one"], 30_000);
    expect(await effectsOf("one")).toEqual(["0", "1", "2", "3", "3", "4"]);
    expect(await tasks.result("one")).toEqual({ value: ["0", "1", "2", "went", "3", "4"] });
    expect(await tasks.status("one")).toMatchObject({ attempt: 1, leaseLosses: 1 });
  });

  it("goes on undoing a saga at the last checkpoint after kill -9 in the middle of a compensation", async () => {
    startWorker();
    await tasks.enqueue(order, { steps: 3, dieAt: "undo-1" }, { id: "one" });
    await untilAllEnded(["one"], 30_000);
    expect(await effectsOf("one")).toEqual(["0", "1", "2", "undo-2", "undo-1", "undo-1", "undo-0"]);
    expect(await tasks.status("one")).toMatchObject({ state: "failed", error: { code: "SAGA_COMPENSATED" } });
  });

  it(
    row(90, "never goes back behind a checkpoint while workers are killed and Redis is restarted"),
    { timeout: 180_000 },
    async () => {
      for (let n = 0; n < 3; n += 1) startWorker();
      const chains = Array.from({ length: 20 }, (_, n) => `chain-${n}`);
      const orders = Array.from({ length: 20 }, (_, n) => `order-${n}`);
      for (const id of chains) await tasks.enqueue(chain, { steps: 8 }, { id });
      for (const id of orders) await tasks.enqueue(order, { steps: 5 }, { id });
      let kills = 0;
      for (let round = 0; round < 12; round += 1) {
        await sleep(600);
        if (round === 5) await server.restart();
        if (round === 6) for (const id of chains) await tasks.signal(id, "go", "went");
        workers[round % workers.length]?.kill("SIGKILL");
        kills += 1;
      }
      const ids = [...chains, ...orders];
      await untilAllEnded(ids, 90_000);
      let repeated = 0;
      let lost = 0;
      for (const id of ids) {
        const isChain = chains.includes(id);
        const forward = Array.from({ length: isChain ? 8 : 5 }, (_, at) => `${at}`);
        const all = isChain ? forward : [...forward, ...forward.toReversed().map((at) => `undo-${at}`)];
        const effects = await effectsOf(id);
        const places = effects.map((what) => all.indexOf(what));
        // All of it, in order, and once something has been done, nothing before it again.
        expect(places, id).toEqual(places.toSorted((a, b) => a - b));
        expect([...new Set(effects)], id).toEqual(all);
        repeated += effects.length - all.length;
        const state = isChain ? { state: "completed" } : { error: { code: "SAGA_COMPENSATED" } };
        const status = await tasks.status(id);
        expect(status, id).toMatchObject(state);
        lost += status.leaseLosses;
      }
      // Only what was cut is repeated: by a kill, or by the restart in the middle of three workers' eight tasks.
      expect(repeated).toBeLessThanOrEqual(lost + 24);
      console.log(
        `${kills} kills, a restart of Redis: ${ids.length} tasks, ${lost} cut, ${repeated} steps run once more`,
      );
    },
  );
});
