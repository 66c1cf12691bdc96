import { setTimeout as sleep } from "node:timers/promises";
import { writeBehind } from "@holdfast/cache";
import { writeLogConformance } from "@holdfast/cache/testing";
import { constant } from "@holdfast/core";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { Cluster, Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedis, startRedisCluster } from "../../../tools/services/index.mjs";
import { row } from "../../../tools/systems/row.mjs";
import { redisWriteLog } from "@holdfast/cache/redis";

const redisUrl = inject("redisUrl");
const startsRedis = inject("startsRedis");

const clients: { disconnect(): void }[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

async function connected(url: string): Promise<Redis> {
  const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
  client.on("error", () => {});
  clients.push(client);
  await new Promise<void>((resolve) => void client.once("ready", () => resolve()));
  return client;
}

/** Until it holds; the test's own limit is what ends it. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

describe.skipIf(redisUrl === "")("redisWriteLog", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  let logs = 0;
  const open = (name = `log-${(logs += 1)}`) =>
    redisWriteLog({ client, prefix: keys.prefix, name, deadline: "10s" });
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  writeLogConformance({ describe, it }, { make: () => open(), advance: sleep, unitMs: 500 });

  it("leaves nothing behind but a number once all was written", async () => {
    const log = open("empty");
    for (const key of ["a", "b"]) await log.append({ key, value: "1", delayMs: 0, maxKeys: 10 });
    const { claims } = await log.claim({ limit: 2, leaseMs: 1_000, early: false });
    await log.settle(claims.map((claim) => ({ ...claim, kind: "written" as const })));
    expect(await client.keys(`${keys.prefix}{empty}*`)).toEqual([`${keys.prefix}{empty}:latest`]);
  });

  it("is about many keys at a time", async () => {
    const log = open();
    const names = Array.from({ length: 1_200 }, (_, n) => `k${n}`);
    await Promise.all(names.map((key) => log.append({ key, value: key, delayMs: 0, maxKeys: 2_000 })));
    const claims = [];
    for (;;) {
      const claimed = await log.claim({ limit: 1_000, leaseMs: 60_000, early: false });
      if (claimed.claims.length === 0) break;
      claims.push(...claimed.claims);
    }
    expect(new Set(claims.map(({ key }) => key)).size).toBe(1_200);
    const dead = claims.map((claim) => ({ ...claim, kind: "dead" as const, error: "no" }));
    expect(await log.settle(dead)).toEqual(names.map(() => "ok"));
    expect(await log.redrive()).toBe(1_200);
    expect(await log.stats()).toMatchObject({ pending: 1_200, dead: 0 });
  });

  it("refuses names and prefixes that would spread a log over slots", () => {
    expect(() => redisWriteLog({ client, name: "a{b}" })).toThrow('"name"');
    expect(() => redisWriteLog({ client, name: "a", prefix: "{a}" })).toThrow('"prefix"');
  });

  it(
    row(
      62,
      "lets several processes write behind with one log: each value is written once, in order of its key",
    ),
    async () => {
      const name = "fleet";
      const history = new Map<string, number[]>();
      const active = new Set<string>();
      const problems: string[] = [];
      const fleet = Array.from({ length: 3 }, () =>
        writeBehind<string, number>({
          log: open(name),
          delay: 5,
          pollInterval: 20,
          write: async (key, value) => {
            if (active.has(key)) problems.push(`${key} is written twice at a time`);
            active.add(key);
            await sleep(3);
            active.delete(key);
            history.set(key, [...(history.get(key) ?? []), value]);
          },
        }),
      );
      for (let value = 1; value <= 60; value += 1)
        await Promise.all(["a", "b", "c", "d"].map((key, at) => fleet[(value + at) % 3]!.write(key, value)));
      expect(
        await fleet[0]!.load("a", {
          signal: new AbortController().signal,
          previous: undefined,
          reason: "miss",
        }),
      ).toBe(60);
      await Promise.all(fleet.map((one) => one.close()));
      expect(problems).toEqual([]);
      for (const values of history.values()) {
        expect(values).toEqual(values.toSorted((a, b) => a - b));
        expect(values.at(-1)).toBe(60);
      }
      expect(history.size).toBe(4);
    },
  );
});

describe.skipIf(!startsRedis)("redisWriteLog on a Redis that fails", () => {
  it(
    row(
      62,
      "loses nothing that was acknowledged when a Redis with appendfsync always is killed again and again",
    ),
    async () => {
      await using server = await startRedis({ appendOnly: true });
      const source = new Map<string, number>();
      const behind = writeBehind<string, number>({
        log: redisWriteLog({ client: await connected(server.url), name: "killed", deadline: "1s" }),
        delay: 10,
        pollInterval: 30,
        lease: "1s",
        backoff: constant(10),
        write: async (key, value) => {
          await sleep(2);
          source.set(key, value);
        },
      });
      const acknowledged = new Map<string, number>();
      const attempted = new Map<string, number>();
      const over = new AbortController();
      const writers = ["a", "b", "c", "d"].map(async (key) => {
        for (let value = 1; !over.signal.aborted; value += 1) {
          attempted.set(key, value);
          await behind.write(key, value).then(
            () => acknowledged.set(key, value),
            () => sleep(5),
          );
        }
      });
      for (let kill = 0; kill < 3; kill += 1) {
        const before = acknowledged.get("a") ?? 0;
        await until(() => (acknowledged.get("a") ?? 0) > before + 20);
        await server.kill();
        await server.start();
      }
      over.abort();
      await Promise.all(writers);
      await until(() =>
        behind.flush().then(
          () => true,
          () => false,
        ),
      );
      expect(behind.snapshot().logFailures).toBeGreaterThan(0);
      for (const [key, value] of acknowledged) {
        expect(source.get(key)).toBeGreaterThanOrEqual(value);
        expect(source.get(key)).toBeLessThanOrEqual(attempted.get(key)!);
      }
      expect(acknowledged.size).toBe(4);
      expect(await behind.close()).toBe(0);
    },
  );

  it("ends its calls while the server is frozen, tells nothing old meanwhile, and goes on afterwards", async () => {
    await using server = await startRedis();
    const source = new Map([["a", 1]]);
    const behind = writeBehind<string, number>({
      log: redisWriteLog({ client: await connected(server.url), name: "frozen", deadline: 200 }),
      delay: "1m",
      pollInterval: 20,
      load: (key) => source.get(key),
      write: (key, value) => void source.set(key, value),
    });
    await behind.write("a", 2);
    server.pause();
    const context = { signal: new AbortController().signal, previous: undefined, reason: "miss" as const };
    await expect(behind.load("a", context)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await expect(behind.write("a", 3)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      outcome: "unknown",
    });
    server.resume();
    await until(() =>
      behind.flush().then(
        () => true,
        () => false,
      ),
    );
    expect(source.get("a")).toBeGreaterThanOrEqual(2);
    expect(await behind.close()).toBe(0);
  });
});

describe.skipIf(!startsRedis)("redisWriteLog on a Cluster of three", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let client: Cluster;
  let logs = 0;
  beforeAll(async () => {
    servers = await startRedisCluster();
    client = new Cluster([...servers.nodes], {
      redisOptions: { ...REDIS_CLIENT_OPTIONS },
      enableOfflineQueue: false,
    });
    await new Promise((resolve) => client.once("ready", resolve));
  });
  afterAll(async () => {
    client?.disconnect();
    await servers?.stop();
  });

  writeLogConformance(
    { describe, it },
    {
      make: () => redisWriteLog({ client, name: `log-${(logs += 1)}`, deadline: "10s" }),
      advance: sleep,
      unitMs: 500,
    },
  );
});
