// Where tasks are kept: in this process, with a journal that outlives it, or on a server that others share.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { QueueStore } from "@holdfast/queue";
import { memoryStore } from "@holdfast/queue";
import { fileJournal } from "@holdfast/queue/file";
import { postgresTaskStore } from "@holdfast/queue/postgres";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Redis } from "ioredis";
import { Pool } from "pg";
import { MAX_KEPT_TASKS } from "../limits.ts";

export type TaskPlace =
  | { readonly kind: "memory" }
  /** `path`: of the file. Its folder is made. */
  | { readonly kind: "journal"; readonly path: string }
  | { readonly kind: "redis"; readonly url: string }
  | { readonly kind: "postgres"; readonly url: string };

export interface TaskStore {
  readonly store: QueueStore;
  close(): Promise<void>;
}

/** A picture of some megabytes takes its time to a server. */
const DEADLINE = "10s";
const BOUNDS = { maxEnded: MAX_KEPT_TASKS, maxDeadLetters: MAX_KEPT_TASKS };

/** Opens the store. Servers are asked for the first time when they are first needed. */
export async function openTaskStore(
  place: TaskPlace,
  clock: Clock,
  onError: (error: unknown) => unknown,
): Promise<TaskStore> {
  if (place.kind === "redis") {
    const client = new Redis(place.url, REDIS_CLIENT_OPTIONS);
    client.on("error", onError);
    const store = redisTaskStore({ client, prefix: "inference:", deadline: DEADLINE, ...BOUNDS });
    return {
      store,
      close: async () => {
        await store.close();
        client.disconnect();
      },
    };
  }
  if (place.kind === "postgres") {
    const pool = new Pool({ connectionString: place.url });
    pool.on("error", onError);
    const store = postgresTaskStore({ client: pool, schema: "inference", deadline: DEADLINE, ...BOUNDS });
    return {
      store,
      close: async () => {
        await store.close();
        await pool.end();
      },
    };
  }
  if (place.kind === "journal") mkdirSync(dirname(place.path), { recursive: true });
  const store = memoryStore({
    clock,
    ...BOUNDS,
    ...(place.kind === "journal" ? { journal: await fileJournal({ path: place.path }) } : {}),
  });
  return { store, close: () => store.close() };
}
