import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import { postgresIdempotencyStore } from "@holdfast/core/postgres";
import { idempotencyStoreConformance } from "@holdfast/core/testing";
import { freshDatabase } from "../../../tools/services/index.mjs";
import { steps, tryOut } from "./support/idempotency-model.ts";
import type { OpenedClient } from "./support/pg-clients.ts";
import { SERVER_CLIENTS } from "./support/pg-clients.ts";

const databaseUrl = inject("databaseUrl");
const LOCK_MS = 40;

describe.skipIf(databaseUrl === "").each(Object.entries(SERVER_CLIENTS))(
  "postgresIdempotencyStore on %s",
  (_, open) => {
    let opened: OpenedClient;
    let drop: () => Promise<void>;

    beforeAll(async () => {
      const database = await freshDatabase(databaseUrl);
      drop = () => database.drop();
      opened = await open(database.url);
      await postgresIdempotencyStore({ client: opened.client }).migrate();
    });
    afterAll(async () => {
      await opened.close();
      await drop();
    });

    idempotencyStoreConformance(
      { describe, it },
      { make: () => postgresIdempotencyStore({ client: opened.client }), advance: sleep, lockMs: 200 },
    );

    it("keeps its promises however racing, crashing and late clients interleave", async () => {
      const store = postgresIdempotencyStore({ client: opened.client });
      const property = fc.asyncProperty(steps, (plan) =>
        tryOut(store, { scope: "model", key: crypto.randomUUID() }, plan, { lockMs: LOCK_MS, wait: sleep }),
      );
      await fc.assert(property, { numRuns: 25 });
    });
  },
);
