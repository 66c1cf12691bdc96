// Real processes that share a cache through a real Redis, while processes and the server are killed and frozen.
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys, startRedis } from "../../../tools/services/index.mjs";

const redisUrl = inject("redisUrl");
const MEMBER = fileURLToPath(new URL("./fixtures/member.mjs", import.meta.url));

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** A process of the fleet. */
class Member {
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #next = 0;
  readonly ready: Promise<Reply>;
  readonly child: ChildProcess;

  constructor(options: object) {
    this.child = spawn(process.execPath, [MEMBER, JSON.stringify(options)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.ready = new Promise((resolve) => this.#waiting.set(0, resolve));
    createInterface(this.child.stdout!).on("line", (line) => {
      const reply = JSON.parse(line) as Reply;
      this.#waiting.get(reply.id)?.(reply);
    });
  }

  async ask<T>(verb: string, words: object = {}): Promise<T> {
    const { value, error } = await this.tell(verb, words);
    if (error !== undefined) throw new Error(error);
    return value as T;
  }

  /** As {@link ask}, with an error as a value. */
  tell(verb: string, words: object = {}): Promise<Reply> {
    const id = (this.#next += 1);
    this.child.stdin!.write(`${JSON.stringify({ id, verb, ...words })}\n`);
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }
}

const members: Member[] = [];
afterEach(() => {
  for (const { child } of members.splice(0)) child.kill("SIGKILL");
});

async function fleet(count: number, options: object): Promise<readonly Member[]> {
  const all = Array.from({ length: count }, () => new Member(options));
  members.push(...all);
  await Promise.all(all.map(({ ready }) => ready));
  return all;
}

describe.skipIf(redisUrl === "")("processes that share a cache through Redis", () => {
  const keys = freshKeys(redisUrl);
  let client: Redis;
  let turn = 0;
  beforeAll(() => {
    client = new Redis(redisUrl);
  });
  afterAll(async () => {
    client.disconnect();
    await keys.drop();
  });
  const loads = async (prefix: string, key: string): Promise<number> =>
    Number((await client.get(`${prefix}loads:${key}`)) ?? 0);
  const settings = (more: object = {}) => {
    const prefix = `${keys.prefix}${(turn += 1)}:`;
    return { url: redisUrl, prefix, loadMs: 50, tier: { lease: "1s", coherence: "200ms" }, ...more };
  };
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it("[pitfall 33] run one load for each key, for 1,000 callers in 4 processes", async () => {
    const options = settings();
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) await client.set(`${options.prefix}source:${name}`, `of ${name}`);
    const all = await fleet(4, options);
    const values = await Promise.all(all.map((one) => one.ask("storm", { keys: names, callers: 250 })));
    expect(values).toEqual(all.map(() => names.map((name) => `of ${name}`)));
    for (const name of names) expect(await loads(options.prefix, name)).toBe(1);
  });

  it("take over from one that is killed while it loads", async () => {
    const options = settings({ loadMs: 60_000 });
    await client.set(`${options.prefix}source:k`, "value");
    const [victim] = await fleet(1, options);
    void victim!.tell("get", { key: "k" });
    await expect.poll(() => loads(options.prefix, "k")).toBe(1);
    const others = await fleet(3, { ...options, loadMs: 10 });
    const values = others.map((one) => one.ask("get", { key: "k" }));
    await wait(200);
    expect(await loads(options.prefix, "k")).toBe(1);
    victim!.child.kill("SIGKILL");
    expect(await Promise.all(values)).toEqual(["value", "value", "value"]);
    expect(await loads(options.prefix, "k")).toBe(2);
  });

  it("keep nothing of one that was frozen while it loaded, and for longer than its lease", async () => {
    const options = settings({ loadMs: 300 });
    await client.set(`${options.prefix}source:k`, "old");
    const [frozen, other] = await fleet(2, options);
    const late = frozen!.tell("get", { key: "k" });
    await expect.poll(() => loads(options.prefix, "k")).toBe(1);
    frozen!.child.kill("SIGSTOP");
    await client.set(`${options.prefix}source:k`, "new");
    await other!.ask("invalidate", { key: "k" });
    expect(await other!.ask("get", { key: "k" })).toBe("new");
    await wait(1_100);
    frozen!.child.kill("SIGCONT");
    // Its reader had asked before the change.
    expect((await late).value).toBe("old");
    for (const one of [frozen!, other!]) expect(await one.ask("get", { key: "k" })).toBe("new");
    expect(await loads(options.prefix, "k")).toBe(2);
  });

  for (const { title, tier, listens, boundMs } of [
    { title: "at once, when each read asks", tier: { coherence: 0 }, listens: false, boundMs: 0 },
    { title: "within the coherence time", tier: { coherence: "200ms" }, listens: false, boundMs: 200 },
    { title: "within it, when they listen too", tier: { coherence: "200ms" }, listens: true, boundMs: 200 },
  ] as const)
    it(`[pitfalls 24, 25] see what another has invalidated ${title}`, async () => {
      const options = settings({ tier: { lease: "1s", ...tier }, loadMs: 1, listens });
      await client.set(`${options.prefix}source:k`, "0");
      const [writer, ...readers] = await fleet(3, options);
      const watched = readers.map((one) =>
        one.ask<{ seen: { value: string; from: string; to: string }[]; hits: number }>("watch", {
          key: "k",
          ms: 2_500,
        }),
      );
      const told = await writer!.ask<{ value: number; at: string }[]>("change", {
        key: "k",
        times: 20,
        pauseMs: 100,
        by: listens ? "tag" : "key",
      });
      for (const { seen, hits } of await Promise.all(watched)) {
        expect(seen.length).toBeGreaterThan(10);
        if (boundMs > 0) expect(hits).toBeGreaterThan(100);
        else expect(hits).toBe(0);
        for (const { value, to } of seen) {
          // The last read with this value began before the next one had been told for longer than the bound.
          const next = told.find((change) => change.value > Number(value));
          if (next === undefined) continue;
          const lateMs = Number(BigInt(to) - BigInt(next.at)) / 1e6;
          expect(lateMs, `value ${value}`).toBeLessThanOrEqual(boundMs);
        }
      }
    });
});

describe.skipIf(!inject("startsRedis"))("a Redis that fails under a shared cache", () => {
  it("[pitfall 37] is done without, and what it has not acknowledged is made good when it is back", async () => {
    await using source = await startRedis();
    await using server = await startRedis({ appendOnly: true });
    const client = new Redis(source.url);
    await client.set("s:source:k", "1");
    const options = {
      url: server.url,
      sourceUrl: source.url,
      prefix: "s:",
      loadMs: 5,
      tier: { coherence: "200ms", lease: "1s" },
    };
    const [one, two] = await fleet(2, options);
    for (const member of [one!, two!]) expect(await member.ask("get", { key: "k" })).toBe("1");

    // Frozen: reads go to the source, at the pace of the deadline, and invalidations are not acknowledged.
    server.pause();
    await client.set("s:source:k", "2");
    expect((await one!.tell("invalidate", { key: "k" })).error).toBe("STORE_UNAVAILABLE");
    expect(await one!.ask("get", { key: "k" })).toBe("2");
    await expect.poll(() => two!.ask("get", { key: "k" })).toBe("2");
    server.resume();
    await expect
      .poll(async () => (await one!.ask<{ share: { owed: number } }>("snapshot")).share.owed)
      .toBe(0);
    for (const member of [one!, two!]) expect(await member.ask("get", { key: "k" })).toBe("2");

    // Killed and started again: the same.
    await server.kill();
    await client.set("s:source:k", "3");
    expect((await two!.tell("invalidate", { key: "k" })).error).toBe("STORE_UNAVAILABLE");
    expect(await two!.ask("get", { key: "k" })).toBe("3");
    await server.start();
    await expect
      .poll(async () => (await two!.ask<{ share: { owed: number } }>("snapshot")).share.owed)
      .toBe(0);
    for (const member of [one!, two!]) await expect.poll(() => member.ask("get", { key: "k" })).toBe("3");
    client.disconnect();
  });

  it("may forget everything: nothing old is served after it", async () => {
    await using server = await startRedis();
    const client = new Redis(server.url);
    const prefix = "f:";
    await client.set(`${prefix}source:k`, "1");
    const options = { url: server.url, prefix, loadMs: 1, tier: { coherence: "100ms", lease: "1s" } };
    const [one, two] = await fleet(2, options);
    for (const member of [one!, two!]) expect(await member.ask("get", { key: "k" })).toBe("1");
    await client.flushall();
    await client.set(`${prefix}source:k`, "2");
    await one!.ask("invalidate", { key: "k" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const member of [one!, two!]) expect(await member.ask("get", { key: "k" })).toBe("2");
    client.disconnect();
  });

  it("[must-survive 11] may evict whatever it likes: what is left over is not trusted", async () => {
    await using server = await startRedis();
    const client = new Redis(server.url);
    const prefix = "e:";
    const options = { url: server.url, prefix, loadMs: 1, tier: { coherence: 0 } };
    const [one, another] = await fleet(2, options);
    await client.set(`${prefix}source:k`, "1");
    expect(await one!.ask("get", { key: "k" })).toBe("1");
    // The value stays, what is known of tags goes.
    const [tags] = await client.keys(`${prefix}*:tags`);
    await client.set(`${prefix}source:k`, "2");
    await client.del(tags!);
    expect(await one!.ask("get", { key: "k" })).toBe("2");
    // What is no value of ours counts as missing.
    const [place] = await client.keys(`${prefix}*:key:*`);
    for (const garbage of [
      () => client.set(place!, "garbage"),
      () => client.hset(place!, { m: "a b c d e", t: "{", l: "x", w: "1 2" }),
      () => client.hset(place!, { t: "{{{" }),
    ]) {
      await client.incr(`${prefix}source:k`);
      await garbage();
      expect(await one!.ask("get", { key: "k" })).toBe(await client.get(`${prefix}source:k`));
    }
    await client.hset(place!, { v: "not JSON" });
    await client.incr(`${prefix}source:k`);
    expect(await another!.ask("get", { key: "k" })).toBe(await client.get(`${prefix}source:k`));
    client.disconnect();
  });
});
