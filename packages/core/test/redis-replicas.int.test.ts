// Writes that count once a replica has them, on a real Redis with a real replica and a Sentinel.
import { Cluster, Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { REDIS_CLIENT_OPTIONS, redisRunner, redisScript } from "@holdfast/core/redis";
import { startRedis, startReplicatedRedis } from "../../../tools/services/index.mjs";

const increment = redisScript({
  name: "increment",
  keys: ["key"],
  lua: "return redis.call('INCR', KEYS[1])",
});

describe.skipIf(!inject("startsRedis"))("a runner that waits for replicas", () => {
  let servers: Awaited<ReturnType<typeof startReplicatedRedis>>;
  const clients: { disconnect(): void }[] = [];
  beforeAll(async () => {
    servers = await startReplicatedRedis();
  });
  afterAll(() => servers.stop());
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });

  function connect(): Redis {
    const options = { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 50, sentinelRetryStrategy: () => 50 };
    const client = new Redis({ ...options, ...servers.place });
    client.on("error", () => {});
    clients.push(client);
    return client;
  }

  it("answers when they have it, says so when they have not, and loses nothing of what it answered", async () => {
    const runner = redisRunner({ client: connect(), deadline: "1s", replicas: 1 });
    expect(await runner.run(increment, ["count"], [])).toBe(1);

    servers.replicas[0]!.pause();
    await expect(runner.run(increment, ["count"], [])).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "no_replicas",
      outcome: "unknown",
    });
    servers.replicas[0]!.resume();
    // Also of the one before, which it had made.
    expect(await runner.run(increment, ["count"], [])).toBe(3);

    await servers.master.kill();
    const after = redisRunner({ client: connect(), deadline: "1s" });
    await expect.poll(() => after.run(increment, ["count"], []).catch(() => 0), { timeout: 20_000 }).toBe(4);
  });

  it("is refused at once, and nothing written, by a server set to have more replicas than it has", async () => {
    const lonely = await startRedis({ args: ["--min-replicas-to-write", "1"] });
    try {
      const client = new Redis(lonely.url, REDIS_CLIENT_OPTIONS);
      clients.push(client);
      const runner = redisRunner({ client, deadline: "120s", replicas: 1 });
      // Each that waited for them would take a minute.
      for (let calls = 0; calls < 3; calls += 1)
        await expect(runner.run(increment, ["count"], [])).rejects.toMatchObject({
          code: "STORE_UNAVAILABLE",
          reason: "no_replicas",
          outcome: "none",
        });
      expect(await client.get("count")).toBeNull();
    } finally {
      await lonely.stop();
    }
  });

  it("says that the script was run when its server is made a replica before any has what it wrote", async () => {
    const demoted = await startRedis();
    try {
      const client = new Redis(demoted.url, REDIS_CLIENT_OPTIONS);
      clients.push(client);
      const runner = redisRunner({ client, deadline: "120s", replicas: 1 });
      const running = expect(runner.run(increment, ["count"], [])).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
        reason: "no_replicas",
        outcome: "unknown",
      });
      const admin = new Redis(demoted.url);
      clients.push(admin);
      await expect.poll(() => admin.info("clients"), { timeout: 10_000 }).toContain("blocked_clients:1");
      await admin.replicaof("127.0.0.1", 1);
      await running;
      expect(await admin.get("count")).toBe("1");
    } finally {
      await demoted.stop();
    }
  });

  it("rejects with what the script itself says", async () => {
    const wrong = redisScript({ name: "wrong", keys: [], lua: "return redis.call('NONSENSE')" });
    const runner = redisRunner({ client: connect(), deadline: "5s", replicas: 1 });
    await expect(runner.run(wrong, [], [])).rejects.toThrow(/NONSENSE|Unknown Redis command/);
  });

  it("is refused where the right node cannot be asked", () => {
    const cluster = new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true });
    clients.push(cluster);
    expect(() => redisRunner({ client: cluster, replicas: 1 })).toThrow(/replicas/);
    const bare = { evalsha: async () => 1, eval: async () => 1 };
    expect(() => redisRunner({ client: bare, replicas: 1 })).toThrow(/replicas/);
    expect(() => redisRunner({ client: connect(), replicas: -1 })).toThrow(/replicas/);
  });
});
