// Opens the store that is asked for, with the client library of its server, which is loaded only then.
import { REDIS_CLIENT_OPTIONS, redisFailure } from "@holdfast/core/redis";
import type { Queue } from "../queue-contract.ts";
import { queue } from "../queue.ts";
import { redisTaskStore } from "../redis/redis-task-store.ts";
import type { QueueStore } from "../store.ts";
import { MissingPeerError } from "./cli-errors.ts";
import type { CommandLine } from "./command-line.ts";
import type { Check } from "./doctor.ts";
import { redisChecks } from "./redis-doctor.ts";

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

/** @throws MissingPeerError */
export async function openStore(line: CommandLine): Promise<Access> {
  const { server, timeoutMs } = line;
  if (server.kind === "postgres") throw new MissingPeerError("pg", "--postgres");
  const { Redis } = await peer(() => import("ioredis"), "ioredis", "--redis");
  const client = new Redis(server.url, {
    ...REDIS_CLIENT_OPTIONS,
    connectTimeout: timeoutMs,
    retryStrategy: () => null,
    lazyConnect: true,
  });
  // What goes wrong is told by the calls.
  client.on("error", () => {});
  const prefix = server.prefix === undefined ? {} : { prefix: server.prefix };
  // The doctor looks at servers that are not fit, too.
  const allowEviction = line.command === "doctor";
  const store = redisTaskStore({ client, ...prefix, deadline: timeoutMs, allowEviction });
  return {
    queue: queueOf(line, store),
    ready: async () => {
      await client.connect().catch((error: unknown) => {
        throw redisFailure(error);
      });
    },
    checks: async () => redisChecks(String(await client.info()), await client.time()),
    migrate: async () => ({ pending: [], statements: [] }),
    close: async () => {
      await store.close();
      client.disconnect();
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
