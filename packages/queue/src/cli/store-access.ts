// Opens the store that is asked for, with the client library of its server, which is loaded only then.
import { migrate, pgRunner } from "@holdfast/core/postgres";
import type { Redis } from "ioredis";
import {
  POSTGRES_TASK_STORE_DEFAULTS,
  postgresTaskMigrations,
  postgresTaskStore,
} from "../postgres/postgres-task-store.ts";
import type { Queue } from "../queue/queue-contract.ts";
import { queue } from "../queue/queue.ts";
import { redisTaskStore } from "../redis/redis-task-store.ts";
import type { QueueStore } from "../store/store.ts";
import { MissingPeerError } from "./cli-errors.ts";
import type { CommandLine, Server } from "./command-line.ts";
import type { Check } from "./doctor.ts";
import { pendingMigrations, postgresChecks } from "./postgres-doctor.ts";
import { connectRedis } from "./redis-connection.ts";
import type { NodeChecks } from "./redis-doctor.ts";
import { clusterChecks, redisChecks } from "./redis-doctor.ts";

export interface Migrated {
  readonly pending: readonly string[];
  readonly statements: readonly string[];
}

/** A store, and what one can ask of its server. */
export interface Access {
  readonly queue: Queue;
  /** Connects. @throws StoreUnavailableError */
  readonly ready: () => Promise<void>;
  /** Whether the server is fit for tasks. */
  readonly checks: () => Promise<readonly Check[]>;
  /** Brings the tables up to date, or tells what that would do: names of migrations, and their statements. */
  readonly migrate: (dryRun: boolean) => Promise<Migrated>;
  close(): Promise<void>;
}

/** @throws MissingPeerError, StoreUnavailableError */
export function openStore(line: CommandLine): Promise<Access> {
  const { server } = line;
  return server.kind === "redis" ? openRedis(line, server) : openPostgres(line, server);
}

async function openRedis(
  line: CommandLine,
  server: Extract<Server, { readonly kind: "redis" }>,
): Promise<Access> {
  const { timeoutMs } = line;
  const { client, masters } = await connectRedis(server.url, timeoutMs);
  const prefix = server.prefix === undefined ? {} : { prefix: server.prefix };
  // The doctor looks at servers that are not fit, too.
  const allowEviction = line.command === "doctor";
  const store = redisTaskStore({ client, ...prefix, deadline: timeoutMs, allowEviction });
  return {
    queue: queueOf(line, store),
    ready: async () => {},
    checks: async () => {
      const found = await Promise.all(Array.from(masters(), ([name, node]) => nodeChecks(name, node)));
      return found.length === 1 ? found[0]!.checks : clusterChecks(found);
    },
    migrate: async () => ({ pending: [], statements: [] }),
    close: async () => {
      await store.close();
      client.disconnect();
    },
  };
}

async function nodeChecks(name: string, node: Redis): Promise<NodeChecks> {
  const [info, time] = await Promise.all([node.info(), node.time()]);
  return { name, checks: redisChecks(String(info), time) };
}

async function openPostgres(
  line: CommandLine,
  server: Extract<Server, { readonly kind: "postgres" }>,
): Promise<Access> {
  const { timeoutMs } = line;
  const { Pool } = (await peer(() => import("pg"), "pg", "--postgres")).default;
  const pool = new Pool({
    connectionString: server.url,
    max: 4,
    connectionTimeoutMillis: timeoutMs,
    application_name: "holdfast-queue",
  });
  pool.on("error", () => {});
  const schema = server.schema === undefined ? {} : { schema: server.schema };
  // Whoever looks must not change the tables: that is what `migrate` is for.
  const store = postgresTaskStore({
    client: pool,
    ...schema,
    deadline: timeoutMs,
    migrate: false,
    listen: false,
  });
  const runner = pgRunner({ client: pool, deadline: timeoutMs });
  const migrations = postgresTaskMigrations(server.schema);
  return {
    queue: queueOf(line, store),
    ready: async () => void (await runner.query("select 1", [])),
    checks: () => postgresChecks(runner, server.schema ?? POSTGRES_TASK_STORE_DEFAULTS.schema, migrations),
    migrate: async (dryRun) => {
      const pending = await pendingMigrations(runner, migrations);
      const statements = pending.flatMap((one) => one.statements);
      const names = dryRun
        ? pending.map(({ name }) => name)
        : await migrate(pool, migrations, { deadline: timeoutMs });
      return { pending: names, statements };
    },
    close: async () => {
      await store.close();
      await pool.end();
    },
  };
}

function queueOf({ queue: name }: CommandLine, store: QueueStore): Queue {
  return queue({ name: name === "" ? "none" : name, store });
}

async function peer<T>(load: () => Promise<T>, name: string, option: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new MissingPeerError(name, option, { cause: error });
  }
}
