import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { REDIS_CLIENT_OPTIONS, redisIdempotencyStore } from "@holdfast/core/redis";
import { idempotencyStoreConformance } from "@holdfast/core/testing";
import { freshKeys } from "../../../tools/services/index.mjs";
import { steps, tryOut } from "./support/idempotency-model.ts";

const redisUrl = inject("redisUrl");
const LOCK_MS = 40;

describe.skipIf(redisUrl === "")("redisIdempotencyStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  const open = () => redisIdempotencyStore({ client, prefix: keys.prefix });
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  idempotencyStoreConformance({ describe, it }, { make: open, advance: sleep, lockMs: 200 });

  it("keeps its promises however racing, crashing and late clients interleave", async () => {
    const property = fc.asyncProperty(steps, (plan) =>
      tryOut(open(), { scope: "model", key: crypto.randomUUID() }, plan, { lockMs: LOCK_MS, wait: sleep }),
    );
    await fc.assert(property, { numRuns: 40 });
  });

  it("is not put off by a script cache that was emptied, nor by a counter of fences that was lost", async () => {
    const store = open();
    const request = {
      scope: "flush",
      key: "k",
      fingerprint: "f",
      owner: "a",
      lockTtlMs: 60_000,
      ttlMs: 60_000,
      takeDoubtful: false,
    };
    const begun = await store.begin(request);
    await client.script("FLUSH");
    expect(await store.begin(request)).toEqual(begun);
    await keys.drop();
    const next = await store.begin(request);
    expect(begun.kind === "acquired" && next.kind === "acquired" && next.fence > begun.fence).toBe(true);
  });

  it("leaves no key without a time to live but the counters of fences", async () => {
    const found = await client.keys(`${keys.prefix}*`);
    const lasting: string[] = [];
    for (const key of found) if ((await client.pttl(key)) < 0) lasting.push(key);
    expect(lasting.every((key) => key.endsWith(":fence"))).toBe(true);
    expect(lasting.length).toBeLessThanOrEqual(256);
  });
});
