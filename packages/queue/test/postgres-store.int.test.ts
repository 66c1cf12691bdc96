import { PGlite } from "@electric-sql/pglite";
import type { PgListeningClient, PgQueryable } from "@holdfast/core/postgres";
import { queueStoreConformance } from "@holdfast/queue/testing";
import pg from "pg";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import { freshDatabase } from "../../../tools/services/index.mjs";
import type { PostgresOnAClock } from "./support/postgres-on-a-clock.ts";
import { postgresOnAClock, timedSchema } from "./support/postgres-on-a-clock.ts";

const databaseUrl = inject("databaseUrl");
const SCHEMA = "holdfast_queue";

describe.skipIf(databaseUrl === "")("postgresTaskStore", () => {
  let drop: () => Promise<void>;
  let session: pg.Client;
  let url: string;
  let timed: PostgresOnAClock;
  beforeAll(async () => {
    const database = await freshDatabase(databaseUrl);
    ({ url } = database);
    drop = () => database.drop();
    session = new pg.Client(url);
    await session.connect();
    await timedSchema(session, SCHEMA);
  });
  afterAll(async () => {
    await session.end();
    await drop();
  });

  const listen = async (): Promise<PgListeningClient> => {
    const client = new pg.Client(url);
    await client.connect();
    return client;
  };
  const make = async () => {
    timed = await postgresOnAClock(session, SCHEMA, listen);
    return timed.store;
  };
  queueStoreConformance({ describe, it }, { make, advance: (ms) => timed.advance(ms) });
});

describe("postgresTaskStore on PGlite", () => {
  let session: PGlite;
  let timed: PostgresOnAClock;
  beforeAll(async () => {
    session = await PGlite.create();
    await timedSchema(session as PgQueryable, SCHEMA);
  });
  afterAll(() => session.close());

  const make = async () => {
    timed = await postgresOnAClock(sessionOf(session), SCHEMA, async () => listeningOn(session));
    return timed.store;
  };
  queueStoreConformance({ describe, it }, { make, advance: (ms) => timed.advance(ms) });
});

/** Several statements in one go, as `pg` takes them. */
function sessionOf(pglite: PGlite): PgQueryable {
  return {
    query: (text, values) =>
      values === undefined ? pglite.exec(text).then(([last]) => last!) : pglite.query(text, values),
  } as PgQueryable;
}

function listeningOn(pglite: PGlite): PgListeningClient {
  const stops: (() => void)[] = [];
  return {
    query: (text: string) => pglite.query(text),
    on: (event: string, listener: (message: { channel: string; payload: string }) => void) => {
      if (event === "notification")
        stops.push(pglite.onNotification((channel, payload) => listener({ channel, payload })));
    },
    end: async () => {
      for (const stop of stops) stop();
    },
  } as unknown as PgListeningClient;
}
