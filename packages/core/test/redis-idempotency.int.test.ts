import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { BeginRequest } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS, redisIdempotencyStore } from "@holdfast/core/redis";
import { freshKeys } from "../../../tools/services/index.mjs";

const redisUrl = inject("redisUrl");

const request: BeginRequest = {
  scope: "pay",
  key: "order-1",
  fingerprint: "f",
  owner: "a",
  lockTtlMs: 60_000,
  ttlMs: 120_000,
  takeDoubtful: false,
};

describe.skipIf(redisUrl === "")("redisIdempotencyStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  it("hands a key to one owner, shows it to others as in flight, and replays its result", async () => {
    const store = redisIdempotencyStore({ client, prefix: keys.prefix });
    const begun = await store.begin(request);
    expect(begun).toMatchObject({ kind: "acquired", doubt: false });
    if (begun.kind !== "acquired") return;
    expect(await store.begin({ ...request, owner: "b" })).toMatchObject({ kind: "inFlight" });
    expect(await store.begin(request)).toEqual(begun);
    const lease = { ...request, fence: begun.fence };
    expect(await store.checkpoint(lease, { name: "charged", data: "7" }, 60_000)).toBe("ok");
    expect(await store.begin(request)).toEqual({ ...begun, point: { name: "charged", data: "7" } });
    expect(await store.complete(lease, "done", 60_000)).toBe("ok");
    expect(await store.complete(lease, "again", 60_000)).toBe("ok");
    expect(await store.renew(lease, 1)).toBe("lost");
    expect(await store.begin({ ...request, owner: "b" })).toEqual({ kind: "replay", result: "done" });
    expect(await store.begin({ ...request, fingerprint: "g" })).toEqual({ kind: "mismatch" });
  });

  it("is not put off by a script cache that was emptied", async () => {
    const store = redisIdempotencyStore({ client, prefix: keys.prefix });
    const flushed = { ...request, key: "flushed" };
    const begun = await store.begin(flushed);
    await client.script("FLUSH");
    expect(await store.begin(flushed)).toEqual(begun);
  });
});
