// Every client that core/postgres takes, on a database of its own.
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import postgres from "postgres";
import type { PgClient } from "@holdfast/core/postgres";
import { fromPostgresJs } from "@holdfast/core/postgres";

export interface OpenedClient {
  readonly client: PgClient;
  close(): Promise<unknown>;
}

/** Clients of a server. */
export const SERVER_CLIENTS: Readonly<Record<string, (url: string) => Promise<OpenedClient>>> = {
  "a pool of pg": async (url) => {
    const client = new pg.Pool({ connectionString: url });
    // Its database is dropped with force, maybe before the last connection has ended.
    client.on("error", () => {});
    return { client, close: () => client.end() };
  },
  "a client of pg": async (url) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return { client, close: () => client.end() };
  },
  "postgres.js": async (url) => {
    const sql = postgres(url, { onnotice: () => {} });
    return { client: fromPostgresJs(sql), close: () => sql.end() };
  },
};

/** A PostgreSQL in this process. */
export async function openPGlite(): Promise<OpenedClient> {
  const client = await PGlite.create();
  return { client, close: () => client.close() };
}
