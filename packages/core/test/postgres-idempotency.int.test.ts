import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { BeginRequest } from "@holdfast/core";
import type { PgClient } from "@holdfast/core/postgres";
import { fromPostgresJs, postgresIdempotencyStore } from "@holdfast/core/postgres";
import { freshDatabase } from "../../../tools/services/index.mjs";

const databaseUrl = inject("databaseUrl");

const request: BeginRequest = {
  scope: "pay",
  key: "order-1",
  fingerprint: "f",
  owner: "a",
  lockTtlMs: 60_000,
  ttlMs: 120_000,
  takeDoubtful: false,
};

interface Opened {
  readonly client: PgClient;
  close(): Promise<unknown>;
}

const CLIENTS: Readonly<Record<string, (url: string) => Promise<Opened>>> = {
  "a pool of pg": async (url) => {
    const client = new pg.Pool({ connectionString: url });
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
  PGlite: async () => {
    const client = await PGlite.create();
    return { client, close: () => client.close() };
  },
};

describe.each(Object.entries(CLIENTS))("postgresIdempotencyStore on %s", (name, open) => {
  const needsServer = name !== "PGlite";
  let opened: Opened;
  let drop: () => Promise<void>;

  beforeAll(async () => {
    if (needsServer && databaseUrl === "") return;
    const database = needsServer ? await freshDatabase(databaseUrl) : undefined;
    drop = async () => database?.drop();
    opened = await open(database?.url ?? "");
  });
  afterAll(async () => {
    await opened?.close();
    await drop?.();
  });

  it.skipIf(needsServer && databaseUrl === "")(
    "hands a key to one owner, shows it to others as in flight, and replays its result",
    async () => {
      const store = postgresIdempotencyStore({ client: opened.client });
      await store.migrate();
      const begun = await store.begin(request);
      expect(begun).toMatchObject({ kind: "acquired", doubt: false });
      if (begun.kind !== "acquired") return;
      expect(await store.begin({ ...request, owner: "b" })).toMatchObject({ kind: "inFlight" });
      expect(await store.begin(request)).toEqual(begun);
      const lease = { ...request, fence: begun.fence };
      expect(await store.renew(lease, 60_000)).toBe("ok");
      expect(await store.checkpoint(lease, { name: "charged", data: "7" }, 60_000)).toBe("ok");
      expect(await store.begin(request)).toEqual({ ...begun, point: { name: "charged", data: "7" } });
      expect(await store.complete(lease, "done", 60_000)).toBe("ok");
      expect(await store.complete(lease, "again", 60_000)).toBe("ok");
      expect(await store.renew(lease, 1)).toBe("lost");
      expect(await store.fail(lease, true)).toBe("lost");
      await store.release(request, "a");
      expect(await store.begin({ ...request, owner: "b" })).toEqual({ kind: "replay", result: "done" });
      expect(await store.begin({ ...request, fingerprint: "g" })).toEqual({ kind: "mismatch" });
      expect(await store.deleteExpired()).toBe(0);
    },
  );
});
