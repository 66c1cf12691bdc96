import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import type { Queue } from "@holdfast/queue";
import { defineTask, handle, queue, worker } from "@holdfast/queue";
import type { RedisTaskStoreOptions } from "@holdfast/queue/redis";
import { redisTaskStore } from "@holdfast/queue/redis";
import { Cluster, Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { startProxy, startRedis, startRedisCluster } from "../../../tools/services/index.mjs";
import { makesRoomForAHundredth } from "./support/makes-room.ts";
import { outlivesManyDue } from "./support/many-due.ts";

const double = defineTask<number, number, number>({ name: "double" });
const endless = defineTask({ name: "endless" });
/** What a slow machine may add to a budget: still far from what waits for a server take, let alone from never. */
const MARGIN_MS = 5_000;

async function msOf(act: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await act();
  return performance.now() - startedAt;
}

describe.skipIf(!inject("startsRedis"))("redisTaskStore", () => {
  let server: Awaited<ReturnType<typeof startRedis>>;
  const opened: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const close of opened.splice(0).toReversed()) await close();
  });

  function connect(url: string = server.url): Redis {
    const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
    client.on("error", () => {});
    opened.push(async () => client.disconnect());
    return client;
  }

  /** A queue over a connection and a store of its own, as another process would have. */
  function open(name: string, options: Partial<RedisTaskStoreOptions> = {}): Queue {
    const store = redisTaskStore({ client: connect(), poll: "1h", ...options });
    opened.push(() => store.close());
    return queue({ name, store });
  }

  function work(tasks: Queue): { readonly aborted: Promise<unknown> } {
    let tell: (reason: unknown) => void = () => {};
    const aborted = new Promise((resolve) => (tell = resolve));
    const running = worker(
      tasks,
      [
        handle(double, ({ input }) => input * 2),
        handle(endless, ({ signal }) => {
          signal.addEventListener("abort", () => tell(signal.reason));
          return new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
        }),
      ],
      { lease: "1h", name: "w" },
    );
    opened.push(async () => void (await running.close({ within: "1s" })));
    return { aborted };
  }

  async function until(holds: () => Promise<boolean>): Promise<void> {
    while (!(await holds())) await sleep(10);
  }

  it("[pitfall 13] wakes workers, those who wait and those who are cancelled in other processes, without a poll", async () => {
    const [here, there] = [open("awake"), open("awake")];
    const { aborted } = work(there);
    await sleep(100);
    const { id } = await here.enqueue(double, 21);
    expect(await here.wait(double, id)).toBe(42);
    const long = await here.enqueue(endless, undefined);
    await until(async () => (await here.status(long.id)).state === "running");
    await here.cancel(long.id, "not wanted");
    expect(await aborted).toMatchObject({ code: "TASK_CANCELLED", reason: "not wanted" });
  });

  it("[pitfall 4] starts what is delayed at its time, without a poll", async () => {
    const [here, there] = [open("timed"), open("timed")];
    work(there);
    await sleep(100);
    const { id } = await here.enqueue(double, 1, { delay: "150ms" });
    expect(await here.wait(double, id)).toBe(2);
  });

  it("[pitfall 4] goes on hearing of things once its connection for wake-ups was cut", async () => {
    const [here, there] = [open("cut"), open("cut")];
    work(there);
    // Long enough for both to listen by then.
    await here.wait(double, (await here.enqueue(double, 1, { delay: "200ms" })).id);
    const admin = connect();
    await until(async () => admin.status === "ready");
    expect(await admin.call("CLIENT", "KILL", "TYPE", "PUBSUB")).toBe(2);
    for (let n = 0; n < 20; n += 1)
      expect(await here.wait(double, (await here.enqueue(double, n)).id)).toBe(n * 2);
  });

  it("leaves no failure unhandled when its connection for wake-ups is cut while it subscribes again", async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", onUnhandled);
    await using proxy = await startProxy(server.url);
    const client = new Redis(proxy.url, { maxRetriesPerRequest: 0, retryStrategy: () => 10 });
    client.on("error", () => {});
    const duplicate = client.duplicate.bind(client);
    let cuts = 0;
    const cut = (): void => {
      if ((cuts += 1) > 5) return;
      proxy.cut();
      setTimeout(() => proxy.heal(), 15);
    };
    client.duplicate = (options) => {
      const connection = duplicate(options);
      connection.on("ready", () => setImmediate(() => cuts > 0 && cut()));
      return connection;
    };
    const tasks = open("resubscribed", { client, deadline: "200ms" });
    work(tasks);
    const later = async (): Promise<number> => {
      const { id } = await tasks.enqueue(double, 21, { delay: "50ms" });
      return tasks.wait(double, id);
    };
    expect(await later()).toBe(42);
    cut();
    await until(async () => cuts > 5 && client.status === "ready");
    expect(await later()).toBe(42);
    expect(unhandled).toEqual([]);
    process.off("unhandledRejection", onUnhandled);
    client.disconnect();
  });

  it("polls where it cannot open a second connection", async () => {
    const client = connect();
    const alone = { evalsha: client.evalsha.bind(client), eval: client.eval.bind(client) };
    await sleep(100);
    const tasks = open("polled", { client: alone, poll: "20ms" });
    work(tasks);
    await sleep(100);
    expect(await tasks.wait(double, (await tasks.enqueue(double, 4)).id)).toBe(8);
  });

  it("asks nothing while there is nothing to do", async () => {
    const tasks = open("idle");
    work(tasks);
    const waiting = tasks.wait(double, (await tasks.enqueue(double, 1, { delay: "1h" })).id).catch(() => {});
    await sleep(300);
    const admin = connect();
    await until(async () => admin.status === "ready");
    await admin.config("RESETSTAT");
    await sleep(700);
    expect(await admin.info("commandstats")).not.toContain("cmdstat_eval");
    for (const close of opened.splice(0).toReversed()) await close();
    await waiting;
  });

  it("[pitfall 5] closes within its time while the server does not answer, and tells callers why", async () => {
    const tasks = open("hung", { deadline: "200ms" });
    const running = worker(tasks, [handle(double, ({ input }) => input)], { lease: "500ms" });
    await tasks.wait(double, (await tasks.enqueue(double, 1)).id);
    server.pause();
    try {
      await expect(tasks.enqueue(double, 2)).rejects.toMatchObject({
        code: "STORE_UNAVAILABLE",
        outcome: "unknown",
      });
      expect(await msOf(() => running.close({ within: "500ms" }))).toBeLessThan(500 + MARGIN_MS);
      expect(await msOf(() => tasks.store.close())).toBeLessThan(MARGIN_MS);
    } finally {
      server.resume();
    }
  });

  it.each(["refused", "ended"] as const)(
    "[pitfall 5] closes within its time while connections are %s, with a task that runs",
    async (how) => {
      const own = await startRedis();
      const client = connect(own.url);
      const tasks = open(`cut-${how}`, { client, deadline: "200ms" });
      let begin = (): void => {};
      const begun = new Promise<void>((resolve) => (begin = resolve));
      const deaf = handle(endless, () => (begin(), new Promise(() => {})));
      const running = worker(tasks, [deaf], { lease: "10s", concurrency: 1 });
      await tasks.enqueue(endless, 1);
      await begun;
      // Its port is closed; or the client has been ended by its owner.
      if (how === "refused") await own.stop();
      else client.disconnect();
      await expect(tasks.enqueue(endless, 2)).rejects.toThrow();
      expect(await msOf(() => running.close({ within: "1s" }))).toBeLessThan(1_000 + MARGIN_MS);
      expect(await msOf(() => tasks.store.close())).toBeLessThan(MARGIN_MS);
      if (how === "ended") await own.stop();
    },
  );

  it("is not put off by a script cache that was emptied", async () => {
    const tasks = open("flushed");
    await tasks.enqueue(double, 1);
    const admin = connect();
    await until(async () => admin.status === "ready");
    await admin.script("FLUSH");
    await tasks.enqueue(double, 2);
    expect((await tasks.stats()).ready).toBe(2);
  });

  it("leaves nothing behind of tasks that are forgotten", async () => {
    const tasks = open("tidy");
    work(tasks);
    const brief = defineTask<number, number, number>({ name: "double", keepFor: "1ms" });
    const ids = (
      await tasks.enqueueMany(
        brief,
        [1, 2, 3].map((input) => ({ input, dedupKey: `k${input}`, group: "g" })),
      )
    ).map(({ id }) => id);
    await Promise.all(ids.map((id) => tasks.wait(double, id).catch(() => {})));
    await until(async () => Object.values(await tasks.stats()).every((count) => count === 0));
    const admin = connect();
    await until(async () => admin.status === "ready");
    const left = (await admin.keys("*tidy:*")).map((key) => key.slice(key.lastIndexOf(":") + 1)).sort();
    // The counters, and who waits.
    expect(left.filter((name) => name !== "watch")).toEqual(["meta"]);
  });

  it("keeps the latest ended tasks, dead letters and events alone, each up to its bound", async () => {
    const { store } = open("bounds", { maxEnded: 2, maxDeadLetters: 1, maxEvents: 10 });
    const bounded = queue({ name: "bounds", store });
    await bounded.enqueueMany(
      double,
      Array.from({ length: 6 }, (_, input) => ({ input, id: `task-${input}` })),
    );
    const claimed = await store.claim("bounds", { worker: "w", max: 5, leaseMs: 60_000 });
    const error = { code: "BROKEN", message: "" };
    for (const [index, { id, fence }] of claimed.entries())
      await store.settle("bounds", [
        index < 3
          ? { id, fence, kind: "complete", result: { text: "1", blobs: [] } }
          : { id, fence, kind: "fail", error },
      ]);
    const ids = claimed.map(({ id }) => id);
    const found = await store.get("bounds", ids);
    expect(found.filter((status) => status?.state === "completed")).toHaveLength(2);
    expect(found.slice(3).map((status) => status?.state)).toEqual([undefined, "failed"]);
    expect(await store.stats("bounds")).toMatchObject({ completed: 2, failed: 1, ready: 1 });
    const [last] = await store.claim("bounds", { worker: "w", max: 1, leaseMs: 60_000 });
    const reports = Array.from({ length: 20 }, (_, line) => ({ kind: "log" as const, line: `${line}` }));
    await store.report("bounds", [{ ...last!, reports }]);
    const page = await store.events("bounds", last!.id, 0, 100);
    expect(page!.events.map(({ seq }) => seq)).toEqual([13, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
  });

  it("[pitfall 18] answers every call in time while nine thousand things happen by themselves", async () => {
    await outlivesManyDue(open("due", { deadline: "2s" }));
  });

  it("makes room for a hundredth of its bound when more have ended, the oldest first", async () => {
    const { store } = open("room", { maxEnded: 200 });
    await makesRoomForAHundredth(store);
  });

  it("[must-survive 33] refuses new tasks when the server is full, and lets those that are there be worked off", async () => {
    await using small = await startRedis({ args: ["--maxmemory", "8mb"] });
    const tasks = open("full", { client: connect(small.url) });
    let added = 0;
    const refused = await (async () => {
      for (;;) {
        const items = Array.from({ length: 500 }, () => ({ input: 1, delay: 0 }));
        added += (await tasks.enqueueMany(double, items)).length;
      }
    })().catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "STORE_UNAVAILABLE", reason: "out_of_memory", outcome: "none" });
    expect(await tasks.stats()).toMatchObject({ ready: added, completed: 0 });
    const claimed = await tasks.store.claim("full", { worker: "w", max: 100, leaseMs: 60_000 });
    const settled = await tasks.store.settle(
      "full",
      claimed.map(({ id, fence }) => ({ id, fence, kind: "complete", result: { text: "2", blobs: [] } })),
    );
    expect(settled.outcomes.every(({ written }) => written)).toBe(true);
    expect(await tasks.stats()).toMatchObject({ ready: added - 100, running: 0, completed: 100 });
  });

  it("[must-survive 32] is told by a server that has become a replica, and goes on when that is a master again", async () => {
    await using own = await startRedis();
    const tasks = open("demoted", { client: connect(own.url) });
    const admin = connect(own.url);
    await tasks.enqueue(double, 1);
    await admin.call("REPLICAOF", "127.0.0.1", "1");
    await expect(tasks.enqueue(double, 2)).rejects.toMatchObject({
      code: "STORE_UNAVAILABLE",
      reason: "read_only",
      outcome: "none",
    });
    await admin.call("REPLICAOF", "NO", "ONE");
    await tasks.enqueue(double, 3);
    work(tasks);
    await until(async () => (await tasks.stats()).completed === 2);
  });

  it("[must-survive 33] is told by a server that is busy, and goes on after that", async () => {
    await using own = await startRedis({ args: ["--busy-reply-threshold", "50"] });
    const tasks = open("busy", { client: connect(own.url) });
    const [other, admin] = [connect(own.url), connect(own.url)];
    await tasks.enqueue(double, 1);
    await until(async () => other.status === "ready" && admin.status === "ready");
    const endlessScript = other.eval("while true do end", 0).catch(() => {});
    await sleep(200);
    const busy = { code: "STORE_UNAVAILABLE", reason: "busy", outcome: "none" };
    await expect(tasks.enqueue(double, 2)).rejects.toMatchObject(busy);
    await admin.call("SCRIPT", "KILL");
    await endlessScript;
    work(tasks);
    await tasks.enqueue(double, 3);
    await until(async () => (await tasks.stats()).completed === 2);
  });

  it("[must-survive 33, 38] is told by a server whose disk fails, and goes on when it is well again", async () => {
    await using own = await startRedis({ args: ["--enable-protected-configs", "yes"] });
    const tasks = open("disk", { client: connect(own.url) });
    const admin = connect(own.url);
    await tasks.enqueue(double, 1);
    const [, home] = (await admin.config("GET", "dir")) as [string, string];
    const gone = await mkdtemp(join(tmpdir(), "gone-"));
    await admin.config("SET", "dir", gone);
    await admin.config("SET", "save", "3600 1");
    await rm(gone, { recursive: true });
    const isSaved = async (status: string): Promise<boolean> =>
      (await admin.info("persistence")).includes(`rdb_last_bgsave_status:${status}`);
    await admin.bgsave();
    await until(() => isSaved("err"));
    const failing = { code: "STORE_UNAVAILABLE", reason: "persistence", outcome: "none" };
    await expect(tasks.enqueue(double, 2)).rejects.toMatchObject(failing);
    await admin.config("SET", "dir", home);
    await admin.bgsave();
    await until(() => isSaved("ok"));
    work(tasks);
    await tasks.enqueue(double, 3);
    await until(async () => (await tasks.stats()).completed === 2);
  });

  it("[must-survive 34] [pitfall 9] refuses a server that may evict tasks, until that is put right or allowed", async () => {
    await using risky = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    const client = connect(risky.url);
    const tasks = open("risky", { client });
    await expect(tasks.enqueue(double, 1)).rejects.toMatchObject({
      code: "STORE_UNFIT",
      reasons: [expect.stringContaining("allkeys-lru")],
    });
    const careless = open("risky", { client, allowEviction: true });
    expect((await careless.enqueue(double, 1)).duplicate).toBe(false);
    await client.config("SET", "maxmemory-policy", "noeviction");
    expect((await tasks.enqueue(double, 1)).duplicate).toBe(false);
  });

  it("refuses options that are out of range", () => {
    const client = connect();
    expect(() => redisTaskStore({ client, prefix: "{a}" })).toThrow(/prefix/);
    expect(() => redisTaskStore({ client, poll: 1 })).toThrow(/poll/);
    expect(() => redisTaskStore({ client, maxEvents: 1 })).toThrow(/maxEvents/);
    expect(() => redisTaskStore({ client: {} as never })).toThrow(/client/);
  });

  it("tells names apart that UTF-8 cannot", async () => {
    const tasks = open("names");
    const keys = ["\ud800", "\udfff", '\u0001"\\ud800"', "plain"];
    for (const dedupKey of keys)
      expect((await tasks.enqueue(double, 1, { dedupKey, group: dedupKey })).duplicate, dedupKey).toBe(false);
    for (const dedupKey of keys)
      expect((await tasks.enqueue(double, 1, { dedupKey })).duplicate, dedupKey).toBe(true);
    const claimed = await tasks.store.claim("names", { worker: "w\udfff", max: 10, leaseMs: 1_000 });
    const found = await tasks.store.get(
      "names",
      claimed.map(({ id }) => id),
    );
    expect(found.map((status) => status?.group)).toEqual(keys);
    expect(found[0]).toMatchObject({ state: "running", worker: "w\udfff" });
  });
});

describe.skipIf(!inject("startsRedis"))("redisTaskStore on a Cluster of three", () => {
  let servers: Awaited<ReturnType<typeof startRedisCluster>>;
  let client: Cluster;
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

  it("[pitfall 10] keeps each queue in one slot and queues on all nodes, and wakes across them", async () => {
    const store = redisTaskStore({ client, deadline: "5s", poll: "1h" });
    const names = Array.from({ length: 12 }, (_, index) => `queue-${index}`);
    for (const name of names) {
      const tasks = queue({ name, store });
      const running = worker(tasks, [handle(double, ({ input }) => input * 2)]);
      const ids = await Promise.all([1, 2, 3].map((input) => tasks.enqueue(double, input, { group: "g" })));
      expect(await Promise.all(ids.map(({ id }) => tasks.wait(double, id)))).toEqual([2, 4, 6]);
      await running.close({ within: "1s" });
    }
    await store.close();
    const sizes = await Promise.all(client.nodes("master").map((node) => node.dbsize()));
    for (const size of sizes) expect(size).toBeGreaterThan(0);
  });
});
