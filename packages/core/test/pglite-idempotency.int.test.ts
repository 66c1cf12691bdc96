import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { postgresIdempotencyStore } from "@holdfast/core/postgres";
import { idempotencyStoreConformance } from "@holdfast/core/testing";
import { steps, tryOut } from "./support/idempotency-model.ts";
import type { OpenedClient } from "./support/pg-clients.ts";
import { openPGlite } from "./support/pg-clients.ts";

describe("postgresIdempotencyStore on PGlite", () => {
  let opened: OpenedClient;
  beforeAll(async () => {
    opened = await openPGlite();
    await postgresIdempotencyStore({ client: opened.client }).migrate();
  });
  afterAll(() => opened.close());

  idempotencyStoreConformance(
    { describe, it },
    { make: () => postgresIdempotencyStore({ client: opened.client }), advance: sleep, lockMs: 200 },
  );

  it("keeps its promises however crashing and late clients interleave", async () => {
    const store = postgresIdempotencyStore({ client: opened.client });
    const property = fc.asyncProperty(steps, (plan) =>
      tryOut(store, { scope: "model", key: crypto.randomUUID() }, plan, { lockMs: 60, wait: sleep }),
    );
    await fc.assert(property, { numRuns: 20 });
  });
});
