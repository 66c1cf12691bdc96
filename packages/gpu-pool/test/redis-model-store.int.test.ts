import { modelRegistry } from "@holdfast/gpu-pool";
import { redisModelStore } from "@holdfast/gpu-pool/redis";
import { modelRegistryConformance } from "@holdfast/gpu-pool/testing";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import fc from "fast-check";
import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedis, startRedisCluster } from "../../../tools/services/index.mjs";
import { follow } from "./fixtures/registry-follower.ts";
import { batches, isExplained } from "./fixtures/registry-linearizable.ts";
import { MOST_MODELS } from "./fixtures/registry-model.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("redisModelStore", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  let made = 0;
  const open = () =>
    modelRegistry({
      store: redisModelStore({ client, prefix: `${keys.prefix}${made}:`, poll: 20, history: 12 }),
      maxModels: 5,
      maxAliases: 4,
    });
  beforeAll(() => {
    client = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });

  modelRegistryConformance(
    { describe, it },
    {
      make: () => {
        made += 1;
        return open();
      },
      makeOther: open,
    },
  );

  it(
    "answers callers of two places as if they had come one after the other",
    { timeout: 120_000 },
    async () => {
      const second = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
      const join = (one: Redis) =>
        modelRegistry({
          store: redisModelStore({ client: one, prefix: `${keys.prefix}p${made}:`, poll: 10, history: 3 }),
          maxModels: MOST_MODELS,
        });
      await fc.assert(
        fc.asyncProperty(batches, async (all) => {
          made += 1;
          await isExplained([join(client), join(second)], all);
        }),
        { numRuns: 60 },
      );
      second.disconnect();
    },
  );
});

describe.skipIf(!inject("startsRedis"))("redisModelStore with a server of its own", () => {
  it("goes on after the server was killed and has started again from its log", async () => {
    await using server = await startRedis({ appendOnly: true });
    const client = connect(server.url);
    await using registry = modelRegistry({ store: redisModelStore({ client, poll: 20, deadline: 500 }) });
    const watcher = follow(registry);
    await registry.register({ name: "llama", version: "1" });
    const { record } = await registry.register({ name: "llama", version: "2" });
    const moved = await registry.moveAlias("llama@stable", "1");
    await expect.poll(() => watcher.revision).toBe(moved.alias?.revision);
    await server.kill();
    await expect.poll(() => watcher.lost, { timeout: 5_000 }).toBe(1);
    await expect(registry.get("llama@stable")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await server.start();
    await expect.poll(() => client.status, { timeout: 10_000 }).toBe("ready");
    expect(await registry.get("llama@2")).toEqual(record);
    const again = await registry.moveAlias("llama@stable", "2", { ifRevision: moved.alias!.revision });
    expect(again.moved).toBe(true);
    await expect.poll(() => watcher.revision, { timeout: 5_000 }).toBe(again.alias?.revision);
    expect(watcher.aliases.get("llama@stable")?.version).toBe("2");
    // It has missed nothing, so it was told no more than what came after.
    expect(watcher.resets).toBe(1);
    client.disconnect();
  });

  it("tells all anew when the server has lost what it had, with greater revisions", async () => {
    await using server = await startRedis();
    const client = connect(server.url);
    await using registry = modelRegistry({ store: redisModelStore({ client, poll: 20 }) });
    const watcher = follow(registry);
    const { record } = await registry.register({ name: "llama", version: "1" });
    await expect.poll(() => watcher.revision).toBe(record.revision);
    await client.flushall();
    await client.script("FLUSH");
    await expect.poll(() => [watcher.resets, watcher.models.size]).toEqual([2, 0]);
    const again = await registry.register({ name: "llama", version: "1" });
    expect(again.isNew).toBe(true);
    expect(again.record.revision).toBeGreaterThan(record.revision);
    await expect.poll(() => [...watcher.models]).toEqual(["llama@1"]);
    // The log alone is lost: what is there stays, and who resumes from before is told all of it.
    await registry.register({ name: "llama", version: "2" });
    const [log] = await client.keys("*:log");
    await client.del(log!);
    await registry.register({ name: "llama", version: "3" });
    await expect.poll(() => [...watcher.models].sort()).toEqual(["llama@1", "llama@2", "llama@3"]);
    client.disconnect();
  });

  it("is not told what it knows, however often it asks", async () => {
    await using server = await startRedis();
    const client = connect(server.url);
    await using registry = modelRegistry({ store: redisModelStore({ client, poll: 10 }) });
    const watcher = follow(registry);
    await registry.register({ name: "llama", version: "1" });
    await expect.poll(() => watcher.models.size).toBe(1);
    const { told } = watcher;
    const asked = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info("commandstats"))?.[1]);
    const before = await asked();
    await expect.poll(asked).toBeGreaterThan(before + 5);
    expect(watcher.told).toBe(told);
    client.disconnect();
  });
});

describe.skipIf(!inject("startsRedis"))("redisModelStore on a Cluster of three", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let cluster: Cluster;
  let made = 0;
  beforeAll(async () => {
    servers = await startRedisCluster();
    cluster = new Cluster([...servers.nodes], {
      redisOptions: { ...REDIS_CLIENT_OPTIONS },
      enableOfflineQueue: false,
    });
    await new Promise((resolve) => cluster.once("ready", resolve));
  });
  afterAll(async () => {
    cluster?.disconnect();
    await servers?.stop();
  });
  const open = () =>
    modelRegistry({
      store: redisModelStore({ client: cluster, prefix: `${made}:`, poll: 20, history: 12 }),
      maxModels: 5,
      maxAliases: 4,
    });

  modelRegistryConformance(
    { describe, it },
    {
      make: () => {
        made += 1;
        return open();
      },
      makeOther: open,
    },
  );
});

function connect(url: string): Redis {
  const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
  client.on("error", () => {});
  return client;
}
