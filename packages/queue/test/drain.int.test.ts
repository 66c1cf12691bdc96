// A queue that is drained, on every store, with real time: its end is heard of, not waited out.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { QueueStore } from "@holdfast/queue";
import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
import { fileJournal } from "@holdfast/queue/file";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { describe, expect, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import { gate } from "./bench.ts";
import { serverSession } from "./support/postgres-sessions.ts";

interface Opened {
  readonly store: QueueStore;
  readonly close: () => Promise<unknown>;
}

const redisUrl = inject("redisUrl");
const databaseUrl = inject("databaseUrl");

function redisStore(): Opened {
  const keys = freshKeys(redisUrl);
  const client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  const store = redisTaskStore({ client, prefix: keys.prefix });
  return { store, close: () => store.close().then(() => (client.disconnect(), keys.drop())) };
}

async function postgresStore(): Promise<Opened> {
  const { client, close } = await serverSession(databaseUrl);
  const store = postgresTaskStore({ client });
  return { store, close: () => store.close().then(close) };
}

async function journalStore(): Promise<Opened> {
  const path = join(mkdtempSync(join(tmpdir(), "drain-")), "tasks.journal");
  const store = memoryStore({ journal: await fileJournal({ path }) });
  return { store, close: () => store.close() };
}

const STORES: Readonly<Record<string, () => Opened | Promise<Opened>>> = {
  "a journal in a file": journalStore,
  ...(redisUrl === "" ? {} : { Redis: redisStore }),
  ...(databaseUrl === "" ? {} : { PostgreSQL: postgresStore }),
};

const job = defineTask<number, number, number>({ name: "job" });

describe.each(Object.entries(STORES))("a drain on %s", (_, open) => {
  it("answers once what there was is done, paused or not", { timeout: 60_000 }, async () => {
    const { store, close } = await open();
    const tasks = queue({ name: "drained", store });
    const held = gate<number>();
    const working = worker(tasks, [handle(job, ({ input }) => (input === 0 ? held.promise : input))], {
      concurrency: 1,
    });
    try {
      const { id } = await tasks.enqueue(job, 0);
      while ((await tasks.status(id)).state !== "running") await tasks.stats();
      await tasks.pause();
      await tasks.enqueueMany(job, [{ input: 1 }, { input: 2 }]);
      expect(await tasks.drain({ until: "stopped", within: 0 })).toMatchObject({ drained: false });
      const stopped = tasks.drain({ until: "stopped" });
      held.open(0);
      expect(await stopped).toMatchObject({ drained: true, stats: { completed: 1, ready: 2 } });
      const idle = tasks.drain({ within: "50s" });
      await tasks.resume();
      expect(await idle).toMatchObject({ drained: true, stats: { completed: 3, ready: 0, running: 0 } });
    } finally {
      await working.close({ within: "1s" });
      await close();
    }
  });
});
