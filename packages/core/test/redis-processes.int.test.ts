import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, describe, expect, inject, it } from "vitest";
import { idempotency } from "@holdfast/core";
import { redisIdempotencyStore } from "@holdfast/core/redis";
import { freshKeys } from "../../../tools/services/index.mjs";
import { killAtWork, raceProcesses } from "./support/idempotent-processes.ts";

const redisUrl = inject("redisUrl");
const KEYS = 200;

describe.skipIf(redisUrl === "")("processes that share keys in Redis", () => {
  const keys = freshKeys(redisUrl);
  const client = new Redis(redisUrl, { lazyConnect: true });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  it("have exactly one effect for each of 200 keys, whoever comes first", async () => {
    const counts = await raceProcesses(["redis", redisUrl, keys.prefix], 2, KEYS);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(KEYS);
    const effects = await client.lrange(`${keys.prefix}effects`, 0, -1);
    expect([effects.length, new Set(effects).size]).toEqual([KEYS, KEYS]);
  });

  it("leave a key in doubt when they are killed at work, and whoever takes it is told", async () => {
    await killAtWork(["redis", redisUrl, keys.prefix], "killed");
    const store = redisIdempotencyStore({ client, prefix: keys.prefix });
    const work = idempotency({ store, scope: "work" });
    const again = () => work.run({ key: "killed" }, () => "again");
    await expect(again()).rejects.toMatchObject({ code: "IDEMPOTENCY_IN_FLIGHT" });
    await sleep(1_100);
    await expect(again()).rejects.toMatchObject({ code: "IDEMPOTENCY_IN_DOUBT" });
    const brave = idempotency({ store, scope: "work", onInDoubt: "run" });
    const { value } = await brave.run({ key: "killed" }, ({ doubt }) => ({ doubt }));
    expect(value).toEqual({ doubt: true });
  });
});
