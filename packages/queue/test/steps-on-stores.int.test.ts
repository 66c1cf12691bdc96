// One program of steps, waits, children and sagas on every store, with real time.
import { constant } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { QueueStore } from "@holdfast/queue";
import { defineTask, flow, handle, memoryStore, PermanentError, queue, worker } from "@holdfast/queue";
import { encrypted } from "@holdfast/queue/codec";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { describe, expect, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import { rejection } from "./bench.ts";
import { pgliteSession, serverSession } from "./support/postgres-sessions.ts";

interface Opened {
  readonly store: QueueStore;
  readonly close: () => Promise<unknown>;
}

const redisUrl = inject("redisUrl");
const databaseUrl = inject("databaseUrl");

function redisStore(): Opened {
  const keys = freshKeys(redisUrl);
  const client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  const store = redisTaskStore({ client, prefix: keys.prefix, poll: "200ms" });
  return { store, close: () => store.close().then(() => (client.disconnect(), keys.drop())) };
}

async function postgresStore(open: typeof pgliteSession): Promise<Opened> {
  const { client, close } = await open();
  const store = postgresTaskStore({ client, poll: "200ms" });
  return { store, close: () => store.close().then(close) };
}

const STORES: Readonly<Record<string, () => Opened | Promise<Opened>>> = {
  memory: () => {
    const store = memoryStore();
    return { store, close: () => store.close() };
  },
  PGlite: () => postgresStore(pgliteSession),
  ...(redisUrl === "" ? {} : { Redis: redisStore }),
  ...(databaseUrl === "" ? {} : { PostgreSQL: () => postgresStore(() => serverSession(databaseUrl)) }),
};

const part = defineTask<number, number, number>({ name: "part" });
const whole = defineTask<string>({ name: "whole", attempts: 2, backoff: constant("10ms") });
const sum = defineTask<string, string, number>({ name: "sum" });

describe.each(Object.entries(STORES))("steps on %s", (_, open) => {
  it(
    "are recorded and sealed, wait without a slot, have children, and are undone",
    // A PGlite takes most of a minute to begin where others use the processor.
    { timeout: 180_000 },
    async () => {
      const { store, close } = await open();
      const codecs = [encrypted({ current: "k", keys: { k: new Uint8Array(32).fill(7) } })];
      const tasks = queue({ name: "steps", store, codecs });
      const log: string[] = [];
      const working = worker(
        tasks,
        [
          handle(part, ({ input }) => input * 10),
          handle(sum, async ({ step }) => {
            const parts = await step.children("parts", { mustComplete: true });
            return parts.reduce((all, one) => all + (one.state === "completed" ? Number(one.result) : 0), 0);
          }),
          handle(whole, async ({ step, attempt }) => {
            const bytes = await step.run("bytes", () => (log.push("bytes"), new Uint8Array([1, 2, 3])));
            await step.sleep("pause", "1200ms");
            const told = await step.waitFor("go");
            const child = await step.spawn("part", part, 4);
            const [outcome] = await step.join("parts", [child]);
            if (attempt === 1) throw new Error("once");
            const undone = await rejection(
              step.saga("saga", async (saga) => {
                for (const name of ["a", "b"])
                  await saga.run(name, () => log.push(name), { compensate: () => log.push(`undo ${name}`) });
                throw new PermanentError("no", { code: "NO" });
              }),
            );
            return [bytes, told, outcome, undone.code];
          }),
        ],
        { concurrency: 1, lease: "5s" },
      );
      const { id } = await tasks.enqueue(whole, "in");
      // The worker hears of it a moment after the store has it.
      while ((await tasks.status(id)).state !== "waiting" || working.running > 0)
        await new Promise((resolve) => setTimeout(resolve, 20));
      expect(await tasks.signal(id, "go", { by: "ann" })).toBe("delivered");
      const outcome = { id: `${id}:part`, state: "completed", result: 40 };
      const answer = [new Uint8Array([1, 2, 3]), { by: "ann" }, outcome, "SAGA_COMPENSATED"];
      expect(await tasks.wait(whole, id)).toEqual(answer);
      expect(log).toEqual(["bytes", "a", "b", "undo b", "undo a"]);
      const names = (await store.checkpoints("steps", id)).map(({ name }) => name);
      expect(names).toEqual([
        "bytes",
        "pause",
        "event:go",
        "part",
        "parts",
        "begun:saga:a",
        "a",
        "begun:saga:b",
        "b",
        "undo:saga",
        "undoing:saga:b:0:1",
        "undone:saga:b",
        "undoing:saga:a:0:1",
        "undone:saga:a",
        "compensated:saga",
      ]);
      const root = await tasks.enqueueFlow(flow(sum, "in", { children: [flow(part, 1), flow(part, 2)] }));
      expect(await tasks.wait(sum, root.id)).toBe(30);
      await working.close();
      await close();
    },
  );
});
