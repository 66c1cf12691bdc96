import { queueStoreConformance } from "@holdfast/queue/testing";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import type { PostgresOnAClock } from "./support/postgres-on-a-clock.ts";
import { postgresOnAClock, timedSchema } from "./support/postgres-on-a-clock.ts";
import type { Session } from "./support/postgres-sessions.ts";
import { pgliteSession, postgresJsSession, serverSession } from "./support/postgres-sessions.ts";

const databaseUrl = inject("databaseUrl");
const SCHEMA = "holdfast_queue";
const SESSIONS: Readonly<Record<string, () => Promise<Session>>> = {
  ...(databaseUrl === ""
    ? {}
    : {
        "a server": () => serverSession(databaseUrl),
        "a server, through postgres.js": () => postgresJsSession(databaseUrl),
      }),
  PGlite: pgliteSession,
};

describe.each(Object.entries(SESSIONS))("postgresTaskStore on %s", (_, open) => {
  let session: Session;
  let timed: PostgresOnAClock;
  beforeAll(async () => {
    session = await open();
    await timedSchema(session.client, SCHEMA);
  });
  afterAll(() => session.close());

  const make = async () => {
    timed = await postgresOnAClock(session, SCHEMA);
    return timed.store;
  };
  queueStoreConformance({ describe, it }, { make, advance: (ms) => timed.advance(ms) });
});
