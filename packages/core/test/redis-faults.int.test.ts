import { Cluster, Redis } from "ioredis";
import { afterEach, describe, expect, inject, it } from "vitest";
import type { BeginRequest } from "@holdfast/core";
import {
  inspectRedis,
  REDIS_CLIENT_OPTIONS,
  redisIdempotencyStore,
  redisRunner,
  redisScript,
} from "@holdfast/core/redis";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { startProxy, startRedis, startRedisCluster } from "../../../tools/services/index.mjs";

const startsRedis = inject("startsRedis");

const request: BeginRequest = {
  scope: "pay",
  key: "order-1",
  fingerprint: "f",
  owner: "a",
  lockTtlMs: 60_000,
  ttlMs: 120_000,
  takeDoubtful: false,
};

const clients: { disconnect(): void }[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
});

function connect(url: string, options = {}): Redis {
  const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, ...options });
  client.on("error", () => {});
  clients.push(client);
  return client;
}

/** A client that may queue: for what the tests do themselves. */
const connectAdmin = (url: string): Redis => connect(url, { enableOfflineQueue: true });

/** The next such event; unlike `once` of node:events not put off by an error before it. */
const next = (client: Redis, event: string): Promise<void> =>
  new Promise((resolve) => void client.once(event, () => resolve()));

async function connected(url: string): Promise<Redis> {
  const client = connect(url);
  await next(client, "ready");
  return client;
}

function unavailable(reason: string, outcome: "none" | "unknown"): unknown {
  return expect.objectContaining({ code: "STORE_UNAVAILABLE", reason, outcome });
}

const echo = redisScript({ name: "echo", keys: ["key"], lua: "return {KEYS[1], ARGV[1]}" });
const increment = redisScript({
  name: "increment",
  keys: ["key"],
  lua: "return redis.call('INCR', KEYS[1])",
});

describe.skipIf(!startsRedis)("a Redis that fails", () => {
  it("is frozen: calls end at their deadline with an unknown outcome, and go on once it goes on", async () => {
    await using server = await startRedis();
    const client = connect(server.url);
    const store = redisIdempotencyStore({ client, deadline: 300 });
    const begun = await store.begin(request);
    server.pause();
    await expect(store.begin(request)).rejects.toEqual(unavailable("timeout", "unknown"));
    await expect(store.release(request, "b")).rejects.toEqual(unavailable("timeout", "unknown"));
    server.resume();
    expect(await store.begin(request)).toEqual(begun);
  });

  it.each([
    ["made as we advise", {}],
    [
      "made with the defaults of ioredis",
      { enableOfflineQueue: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: 20 },
    ],
  ])(
    "is killed and started again: nothing is queued, and what it acknowledged is there (a client %s)",
    async (_, options) => {
      await using server = await startRedis({ appendOnly: true });
      const client = connect(server.url, { ...options, retryStrategy: () => 50 });
      const store = redisIdempotencyStore({ client, deadline: 500 });
      const begun = await store.begin(request);
      const closed = next(client, "close");
      await server.kill();
      await closed;
      await expect(store.begin({ ...request, key: "while down" })).rejects.toEqual(
        unavailable("connection", "none"),
      );
      const ready = next(client, "ready");
      await server.start();
      await ready;
      // The script cache went with the process.
      expect(await store.begin(request)).toEqual(begun);
      expect(await client.keys("*while down*")).toEqual([]);
    },
  );

  it("is killed while a call is under way: the outcome is unknown", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    server.pause();
    const call = redisIdempotencyStore({ client }).begin(request);
    await Promise.all([expect(call).rejects.toEqual(unavailable("connection", "unknown")), server.kill()]);
  });

  it("loses the reply to a begin: the same owner asks again and is given the same lease", async () => {
    await using server = await startRedis();
    await using proxy = await startProxy(server.url);
    const client = connect(proxy.url, { retryStrategy: () => 20 });
    const direct = redisIdempotencyStore({ client: connect(server.url) });
    const store = redisIdempotencyStore({ client });
    await store.begin({ ...request, key: "the script is known" });
    const ready = next(client, "ready");
    proxy.dropReplies(1);
    await expect(store.begin(request)).rejects.toEqual(unavailable("connection", "unknown"));
    expect(await direct.begin({ ...request, owner: "b" })).toMatchObject({ kind: "inFlight" });
    await ready;
    const begun = await store.begin(request);
    expect(begun).toMatchObject({ kind: "acquired", doubt: false });
    expect(await direct.begin(request)).toEqual(begun);
  });

  it("refuses: a replica, out of memory, busy with a script; nothing has happened then", async () => {
    await using server = await startRedis({ args: ["--busy-reply-threshold", "20"] });
    const client = connect(server.url);
    const admin = connectAdmin(server.url);
    const store = redisIdempotencyStore({ client });
    await store.begin(request);

    await admin.replicaof("127.0.0.1", server.port);
    await expect(store.begin({ ...request, key: "2" })).rejects.toEqual(unavailable("read_only", "none"));
    await admin.replicaof("NO", "ONE");

    await admin.config("SET", "maxmemory", "1");
    await expect(store.begin({ ...request, key: "2" })).rejects.toEqual(unavailable("out_of_memory", "none"));
    await admin.config("SET", "maxmemory", "0");

    const loop = connectAdmin(server.url)
      .eval("while true do end", 0)
      .catch(() => {});
    await expect
      .poll(() => store.begin({ ...request, key: "2" }).catch((error: unknown) => error), { timeout: 10_000 })
      .toEqual(unavailable("busy", "none"));
    await admin.script("KILL");
    await loop;
    expect(await store.begin({ ...request, key: "2" })).toMatchObject({ kind: "acquired" });
  });

  it("is told a wrong script: the error of Redis itself comes out", async () => {
    await using server = await startRedis();
    const client = await connected(server.url);
    const runner = redisRunner({ client });
    await client.lpush("list", "1");
    await expect(runner.run(increment, ["list"], [])).rejects.toThrow("WRONGTYPE");
    const bug = redisScript({ name: "bug", keys: [], lua: "return nothing.here" });
    await expect(runner.run(bug, [], [])).rejects.toThrow("nothing");
    expect(await runner.run(echo, ["k"], [7])).toEqual(["k", "7"]);
    runner.close();
    await expect(runner.run(echo, ["k"], [7])).rejects.toThrow("closed");
  });

  it("is waited for when a client connects for the first time, lazily or not, within the deadline", async () => {
    await using server = await startRedis();
    const lazy = redisRunner({ client: connect(server.url, { lazyConnect: true }) });
    const answers = await Promise.all([lazy.run(echo, ["a"], [1]), lazy.run(echo, ["b"], [2])]);
    expect(answers).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
    server.pause();
    const late = redisRunner({ client: connect(server.url), deadline: 200 });
    await expect(late.run(increment, ["late"], [])).rejects.toEqual(unavailable("timeout", "none"));
    server.resume();
    const client = connect(server.url);
    await expect.poll(() => client.get("late").catch(() => "?")).toBe(null);
    await server.kill();
    const nobody = redisRunner({ client: connect(server.url) });
    await expect(nobody.run(echo, ["a"], [1])).rejects.toEqual(unavailable("connection", "none"));
  });

  it("leaves neither listeners nor timers behind, and an abort rejects with the signal's own reason", async () => {
    await using server = await startRedis();
    const clock = manualClock();
    const controller = new AbortController();
    const { signal } = controller;
    const client = await connected(server.url);
    const before =
      client.listenerCount("ready") + client.listenerCount("close") + client.listenerCount("end");
    const check = leakCheck({ signals: [signal], clocks: [clock] });
    const runner = redisRunner({ client, clock });
    await Promise.all(Array.from({ length: 30 }, () => runner.run(echo, ["k"], [1], signal)));
    check.assertNone();
    server.pause();
    const reason = new Error("no longer needed");
    const calls = Array.from({ length: 3 }, () =>
      runner.run(echo, ["k"], [1], signal).catch((error: unknown) => error),
    );
    controller.abort(reason);
    for (const error of await Promise.all(calls)) expect(error).toBe(reason);
    await expect(runner.run(echo, ["k"], [1], signal)).rejects.toBe(reason);
    check.assertNone();
    server.resume();
    const after = client.listenerCount("ready") + client.listenerCount("close") + client.listenerCount("end");
    expect(after).toBe(before);
  });

  it("is a Cluster: every verb stays in one slot; without its slots it is down", async () => {
    await using server = await startRedis({
      cluster: true,
    });
    const admin = connectAdmin(server.url);
    const plain = redisIdempotencyStore({ client: admin });
    await expect(plain.begin(request)).rejects.toEqual(unavailable("cluster_down", "none"));
    await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    await expect.poll(() => admin.cluster("INFO"), { timeout: 20_000 }).toContain("cluster_state:ok");
    const client = new Cluster([server.url], {
      redisOptions: REDIS_CLIENT_OPTIONS,
      enableOfflineQueue: false,
    });
    client.on("error", () => {});
    clients.push(client);
    const store = redisIdempotencyStore({ client });
    for (let order = 0; order < 50; order += 1) {
      const ref = { scope: "{shop}", key: `order {${order}}` };
      const begun = await store.begin({ ...request, ...ref });
      if (begun.kind !== "acquired") throw new Error(begun.kind);
      expect(await store.complete({ ...ref, fence: begun.fence }, "done", 60_000)).toBe("ok");
      expect(await store.begin({ ...request, ...ref })).toEqual({ kind: "replay", result: "done" });
    }
  });

  it("is a Cluster whose node dies: calls fail in time and nothing is sent later", async () => {
    await using server = await startRedis({
      appendOnly: true,
      cluster: true,
    });
    const admin = connectAdmin(server.url);
    await admin.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    await expect.poll(() => admin.cluster("INFO"), { timeout: 20_000 }).toContain("cluster_state:ok");
    const client = new Cluster([server.url], {
      redisOptions: REDIS_CLIENT_OPTIONS,
      enableOfflineQueue: false,
      clusterRetryStrategy: () => 50,
    });
    client.on("error", () => {});
    clients.push(client);
    const store = redisIdempotencyStore({ client, deadline: 500 });
    const begun = await store.begin(request);
    await server.kill();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const call = store.begin({ ...request, key: "while down" });
      await expect(call).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    }
    await server.start();
    const again = () => store.begin(request).catch((error: Error) => error);
    await expect.poll(again, { timeout: 20_000 }).toEqual(begun);
    expect(await admin.keys("*while down*")).toEqual([]);
  });

  it("takes durations that are no whole milliseconds", async () => {
    await using server = await startRedis();
    const store = redisIdempotencyStore({ client: connect(server.url) });
    expect(await store.begin({ ...request, lockTtlMs: 1_000.5, ttlMs: 2_000.7 })).toMatchObject({
      kind: "acquired",
    });
    const other = await store.begin({ ...request, owner: "b" });
    expect(other.kind === "inFlight" && Number.isInteger(other.retryAfterMs)).toBe(true);
  });

  it("is looked at: what could lose keys is said", async () => {
    await using good = await startRedis({ appendOnly: true });
    const fine = await inspectRedis({ client: connect(good.url) });
    expect(fine).toMatchObject({
      role: "master",
      evictionPolicy: "noeviction",
      appendOnly: true,
      warnings: [],
    });
    await using bad = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    const { warnings } = await inspectRedis({ client: connect(bad.url) });
    expect(warnings).toEqual([expect.stringContaining("allkeys-lru"), expect.stringContaining("appendonly")]);
  });

  it("is looked at on every master of a Cluster, of which the worst is told", async () => {
    await using servers = await startRedisCluster();
    const cluster = new Cluster([...servers.nodes], { redisOptions: { ...REDIS_CLIENT_OPTIONS } });
    clients.push(cluster);
    const wrong = servers.nodes[1]!;
    await connectAdmin(`redis://${wrong.host}:${wrong.port}`).config(
      "SET",
      "maxmemory-policy",
      "allkeys-lru",
    );
    for (let look = 0; look < 3; look += 1)
      expect(await inspectRedis({ client: cluster })).toMatchObject({
        role: "master",
        evictionPolicy: "allkeys-lru",
        warnings: [expect.stringContaining("allkeys-lru"), expect.stringContaining("appendonly")],
      });
  });
});
