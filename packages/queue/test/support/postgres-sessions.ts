// Where the queue's tests keep their tables: a database of a real server, or a PGlite; each with one connection that works.
import { PGlite } from "@electric-sql/pglite";
import type { PgListeningClient, PgNotification, PgQueryable } from "@holdfast/core/postgres";
import pg from "pg";
import { freshDatabase } from "../../../../tools/services/index.mjs";

export interface Session {
  /** Runs one statement after the other; several in one text when there are no values. */
  readonly client: PgQueryable;
  /** Opens another one that listens. */
  readonly listen: () => Promise<PgListeningClient>;
  readonly close: () => Promise<void>;
}

export async function serverSession(databaseUrl: string): Promise<Session> {
  const database = await freshDatabase(databaseUrl);
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(database.url);
    await client.connect();
    return client;
  };
  const client = await connect();
  return {
    client,
    listen: connect,
    close: async () => {
      await client.end();
      await database.drop();
    },
  };
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
