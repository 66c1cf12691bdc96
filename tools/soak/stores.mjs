// Opens the stores that a soak can run on: the built package, as a user's would.
import { Redis } from "ioredis";
import { dist } from "./dist.mjs";

/** @typedef {import("../../packages/queue/src/store/store.ts").QueueStore} QueueStore */
/** @typedef {"memory" | "journal" | "redis" | "postgres"} StoreKind */

/**
 * @typedef {object} OpenStore
 * @property {QueueStore} store
 * @property {() => Promise<void>} close
 */

/** Those that several processes share; the others live in the one process that has them open. */
export const SHARED = ["redis", "postgres"];

/**
 * @param {StoreKind} kind
 * @param {string} place - URL of the server, or path of the journal.
 * @returns {Promise<OpenStore>}
 */
export async function openStore(kind, place) {
  if (kind === "redis") {
    const { REDIS_CLIENT_OPTIONS } = await dist("core", "redis");
    const { redisTaskStore } = await dist("queue", "redis");
    const client = new Redis(place, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 100 });
    client.on("error", () => {});
    const store = redisTaskStore({ client, poll: "500ms" });
    const close = async () => {
      await store.close();
      client.disconnect();
    };
    return { store, close };
  }
  if (kind === "postgres") {
    const { Pool } = (await import("pg")).default;
    const { postgresTaskStore } = await dist("queue", "postgres");
    const pool = new Pool({ connectionString: place, max: 10 });
    pool.on("error", () => {});
    const store = postgresTaskStore({ client: pool, poll: "500ms" });
    const close = async () => {
      await store.close();
      await pool.end();
    };
    return { store, close };
  }
  const { memoryStore } = await dist("queue", "index");
  if (kind === "memory") {
    const store = memoryStore();
    return { store, close: () => store.close() };
  }
  const { fileJournal } = await dist("queue", "file");
  const store = memoryStore({ journal: await fileJournal({ path: place }) });
  return { store, close: () => store.close() };
}
