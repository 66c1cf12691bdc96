// Where the queue's tests keep their tables: a database of a real server, or a PGlite; each with one connection that works.
import { PGlite } from "@electric-sql/pglite";
import type { PgListeningClient, PgNotification, PgQueryable } from "@holdfast/core/postgres";
import { fromPostgresJs } from "@holdfast/core/postgres";
import pg from "pg";
import postgres from "postgres";
import { freshDatabase } from "../../../../tools/services/index.mjs";

export interface Session {
  /** Runs one statement after the other; several in one text when there are no values. */
  readonly client: PgQueryable;
  /** Opens another one that listens. */
  readonly listen: () => Promise<PgListeningClient>;
  readonly close: () => Promise<void>;
}

export function serverSession(databaseUrl: string): Promise<Session> {
  return sessionOf(databaseUrl, async (url) => {
    const client = await connected(url);
    return { client, end: () => client.end() };
  });
}

/** As {@link serverSession}, through postgres.js, whose way to listen is another: that is left to `pg`. */
export function postgresJsSession(databaseUrl: string): Promise<Session> {
  return sessionOf(databaseUrl, async (url) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    const { query } = fromPostgresJs(sql);
    return { client: { query }, end: () => sql.end() };
  });
}

export async function pgliteSession(): Promise<Session> {
  const pglite = await PGlite.create();
  const client = {
    query: async (text: string, values?: unknown[]) => {
      if (values !== undefined) return pglite.query(text, values);
      const results = await pglite.exec(text);
      return results.at(-1)!;
    },
  } as PgQueryable;
  return { client, listen: async () => listeningOn(pglite), close: () => pglite.close() };
}

async function sessionOf(
  databaseUrl: string,
  open: (url: string) => Promise<{ readonly client: PgQueryable; readonly end: () => Promise<void> }>,
): Promise<Session> {
  const database = await freshDatabase(databaseUrl);
  const { client, end } = await open(database.url);
  return {
    client,
    listen: () => connected(database.url),
    close: async () => {
      await end();
      await database.drop();
    },
  };
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}

function listeningOn(pglite: PGlite): PgListeningClient {
  const stops: (() => void)[] = [];
  return {
    query: (text: string) => pglite.query(text) as ReturnType<PgQueryable["query"]>,
    on: (event: string, listener: unknown) => {
      const tell = listener as (message: PgNotification) => void;
      if (event === "notification")
        stops.push(pglite.onNotification((channel, payload) => tell({ channel, payload })));
    },
    end: async () => {
      for (const stop of stops) stop();
    },
  };
}
