import { channel } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { Cacheable, CacheLoadEvent } from "@holdfast/cache";
import { createCache } from "@holdfast/cache";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

/** A loader that answers when it is told to. */
function loader<Value>() {
  const calls: {
    readonly key: unknown;
    readonly resolve: (value: Value) => void;
    readonly reject: (error: Error) => void;
    readonly signal: AbortSignal;
    readonly previous: Value | undefined;
  }[] = [];
  return {
    calls,
    load: (
      key: unknown,
      { signal, previous }: { readonly signal: AbortSignal; readonly previous: Value | undefined },
    ) => new Promise<Value>((resolve, reject) => calls.push({ key, resolve, reject, signal, previous })),
  };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};

describe("a cache", () => {
  it(
    row(59, "asks the source for what is not there, keeps it for its time, and asks again after it"),
    async () => {
      let asked = 0;
      const cache = createCache({
        clock,
        jitter: 0,
        ttl: "300s",
        load: async (id: string) => `${id}:${(asked += 1)}`,
      });
      expect(await cache.get("user:42")).toBe("user:42:1");
      await clock.advance(299_999);
      expect(await cache.get("user:42")).toBe("user:42:1");
      await clock.advance(1);
      expect(await cache.get("user:42")).toBe("user:42:2");
      expect(cache.snapshot()).toMatchObject({ hits: 1, misses: 2, loads: 2, entries: 1 });
    },
  );

  it("[must-survive 9] runs one loader for all who ask, and tells all of them when it fails, however it fails", async () => {
    let fail: (() => Promise<string>) | undefined = () => Promise.reject(new Error("down"));
    let asked = 0;
    const cache = createCache({
      clock,
      load: (): Promise<string> => {
        asked += 1;
        return fail === undefined ? Promise.resolve("fine") : fail();
      },
    });
    const many = () => Promise.allSettled(Array.from({ length: 1_000 }, () => cache.get("k")));
    for (const broken of [
      fail,
      () => {
        throw new Error("at once");
      },
    ]) {
      fail = broken;
      const before = asked;
      const results = await many();
      expect(new Set(results.map(({ status }) => status))).toEqual(new Set(["rejected"]));
      expect(asked - before).toBe(1);
    }
    fail = undefined;
    expect(await cache.get("k")).toBe("fine");
  });

  it("[pitfall 27] a loader that is too slow goes on, and there is still only one", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load, hardDeadline: "1s" });
    const results: string[] = [];
    for (let wave = 0; wave < 5; wave += 1) {
      for (let caller = 0; caller < 4; caller += 1)
        void cache.get("k").catch((error: { code: string }) => results.push(error.code));
      await clock.advance("1s");
    }
    expect(results).toEqual(Array.from({ length: 20 }, () => "TIMEOUT"));
    expect(calls).toHaveLength(1);
    calls[0]!.resolve("late");
    await settle();
    expect(await cache.get("k")).toBe("late");
    expect(calls).toHaveLength(1);
  });

  it("gives up a loader that never ends, aborts its signal, and lets another begin", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load, hardDeadline: "1s", abandonAfter: "1m" });
    const first = cache.get("k");
    await Promise.all([expect(first).rejects.toMatchObject({ code: "TIMEOUT" }), clock.advance("1s")]);
    await clock.advance("1m");
    expect(calls[0]!.signal.aborted).toBe(true);
    const next = cache.get("k");
    await settle();
    calls[1]!.resolve("second");
    expect(await next).toBe("second");
    // What the first brings in the end is nobody's.
    calls[0]!.resolve("zombie");
    await settle();
    expect(await cache.get("k")).toBe("second");
    expect(clock.pendingTimers).toBe(0);
  });

  it("a caller who leaves does not stop the load for the others", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load });
    const stop = new AbortController();
    const leaving = cache.get("k", { signal: stop.signal });
    const staying = cache.get("k");
    await settle();
    stop.abort(new Error("left"));
    await expect(leaving).rejects.toThrow("left");
    calls[0]!.resolve("value");
    expect(await staying).toBe("value");
    await expect(cache.get("k", { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
  });

  it("[pitfall 24, must-survive 10] what was loaded before an invalidation is not kept, nor given to who asks after it", async () => {
    for (const invalidate of ["key", "tag", "all", "set"] as const) {
      const { load, calls } = loader<string>();
      const cache = createCache({ clock, load, tags: () => ["t"] });
      const early = cache.get("k");
      await settle();
      if (invalidate === "key") void cache.invalidate("k");
      else if (invalidate === "tag") void cache.invalidateTag("t");
      else if (invalidate === "all") void cache.clear();
      else void cache.set("k", "set");
      const late = cache.get("k");
      await settle();
      calls[0]!.resolve("old");
      expect(await early, invalidate).toBe("old");
      if (invalidate === "set") {
        expect(await late).toBe("set");
      } else {
        await settle();
        expect(calls, invalidate).toHaveLength(2);
        calls[1]!.resolve("new");
        expect(await late, invalidate).toBe("new");
        expect(await cache.get("k"), invalidate).toBe("new");
      }
    }
  });

  it("removes by tag what depends on it, and nothing else, at the cost of one number", async () => {
    const cache = createCache<string, string>({ clock });
    for (let index = 0; index < 1_000; index += 1)
      void cache.set(`k${index}`, "value", { tags: [`even:${index % 2 === 0}`, `k${index}`] });
    void cache.invalidateTag("even:true");
    expect([await cache.get("k0"), await cache.get("k1"), cache.peek("k998")]).toEqual([
      undefined,
      "value",
      undefined,
    ]);
    void cache.invalidateTag("k1");
    expect(await cache.get("k1")).toBeUndefined();
    void cache.set("k1", "again", { tags: ["k1"] });
    // Far more tags than are remembered: what is older than the forgotten ones is not trusted.
    for (let tag = 0; tag < 20_000; tag += 1) void cache.invalidateTag(`other:${tag}`);
    expect(await cache.get("k1")).toBeUndefined();
    void cache.set("k1", "new", { tags: ["k1"] });
    expect(await cache.get("k1")).toBe("new");
  });

  it("serves what is stale while it loads anew, once, and the new value from then on", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load, jitter: 0, ttl: "1m", staleWhileRevalidate: "1m" });
    const first = cache.get("k");
    await settle();
    calls[0]!.resolve("one");
    await first;
    await clock.advance("90s");
    expect(await Promise.all([cache.get("k"), cache.get("k")])).toEqual(["one", "one"]);
    expect(calls).toHaveLength(2);
    expect(calls[1]!.previous).toBe("one");
    calls[1]!.resolve("two");
    await settle();
    expect(await cache.get("k")).toBe("two");
    await clock.advance("2m");
    const late = cache.get("k");
    await settle();
    calls[2]!.resolve("three");
    expect(await late).toBe("three");
  });

  it("serves what is stale when loading fails, for its time, and leaves the source alone for a moment", async () => {
    let fails = false;
    let asked = 0;
    const errors: string[] = [];
    const cache = createCache({
      clock,
      jitter: 0,
      ttl: "1m",
      staleIfError: "10m",
      errorPause: "5s",
      load: async (): Promise<string> => {
        asked += 1;
        if (fails) throw new Error("down");
        return `value ${asked}`;
      },
      onLoadError: (error) => errors.push(error.message),
    });
    await cache.get("k");
    fails = true;
    await clock.advance("1m");
    expect(await cache.get("k")).toBe("value 1");
    for (let call = 0; call < 10; call += 1) expect(await cache.get("k")).toBe("value 1");
    expect(asked).toBe(2);
    await clock.advance("5s");
    expect(await cache.get("k")).toBe("value 1");
    expect(asked).toBe(3);
    // An invalidation wins over an old value, also when the source is down.
    void cache.invalidate("k");
    await expect(cache.get("k")).rejects.toThrow("down");
    fails = false;
    expect(await cache.get("k")).toBe("value 5");
    await clock.advance("12m");
    fails = true;
    await expect(cache.get("k")).rejects.toThrow("down");
  });

  it("serves what is stale when the source is slow, after the soft deadline", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({
      clock,
      load,
      jitter: 0,
      ttl: "1m",
      staleIfError: "10m",
      softDeadline: "50ms",
    });
    const first = cache.get("k");
    await settle();
    calls[0]!.resolve("old");
    await first;
    await clock.advance("1m");
    const slow = cache.get("k");
    await clock.advance("50ms");
    expect(await slow).toBe("old");
    calls[1]!.resolve("new");
    await settle();
    expect(await cache.get("k")).toBe("new");
  });

  it("[pitfall 34] renews ahead of time what is asked for, without anybody waiting, one load at a time", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load, jitter: 0, ttl: "100s", refreshAhead: 0.8 });
    const first = cache.get("k");
    await settle();
    calls[0]!.resolve("one");
    await first;
    await clock.advance("79s");
    await cache.get("k");
    expect(calls).toHaveLength(1);
    await clock.advance("1s");
    for (let call = 0; call < 5; call += 1) expect(await cache.get("k")).toBe("one");
    expect(calls).toHaveLength(2);
    // Slower than what is left: the value ends all the same.
    await clock.advance("20s");
    const waiting = cache.get("k");
    await settle();
    expect(calls).toHaveLength(2);
    calls[1]!.resolve("two");
    expect(await waiting).toBe("two");
  });

  it("remembers that there is none, if it is told to", async () => {
    let asked = 0;
    const load = async (): Promise<string | undefined> => {
      asked += 1;
      return undefined;
    };
    const forgetful = createCache({ clock, load });
    await forgetful.get("k");
    expect([await forgetful.get("k"), asked]).toEqual([undefined, 2]);
    const mindful = createCache({ clock, load, jitter: 0, negativeTtl: "10s" });
    await mindful.get("k");
    expect([await mindful.get("k"), asked]).toEqual([undefined, 3]);
    await clock.advance("10s");
    expect([await mindful.get("k"), asked]).toEqual([undefined, 4]);
  });

  it("[must-survive 13] keeps null, NaN, false, nothing and what is large as they are", async () => {
    const large = new Uint8Array(10_000_000);
    const values = {
      null: null,
      nan: Number.NaN,
      false: false,
      zero: 0,
      empty: "",
      large,
      proto: { __proto__: null },
    };
    for (const value of Object.values(values)) {
      let asked = 0;
      const cache = createCache<string, Cacheable>({
        clock,
        load: () => {
          asked += 1;
          return value as never;
        },
      });
      expect(await cache.get("k")).toBe(value);
      expect(await cache.get("k")).toBe(value);
      expect(asked).toBe(1);
    }
  });

  it("[must-survive 14] keeps keys apart, however they are joined", async () => {
    const cache = createCache<string | number | readonly (string | number)[], number>({ clock });
    const keys = [
      "a",
      "a:b",
      ["a", "b"],
      ["a:b"],
      ["a", "b", "c"],
      ["a:b", "c"],
      ["a", "b:c"],
      1,
      "1",
      ["1"],
      [1],
      "__proto__",
      "\0",
      '\0"a"',
      '["a","b"]',
      '\0["a","b"]',
      -0.5,
    ];
    keys.forEach((key, index) => void cache.set(key, index));
    for (const [index, key] of keys.entries()) expect(await cache.get(key), JSON.stringify(key)).toBe(index);
    expect(cache.snapshot().entries).toBe(keys.length);
    for (const bad of ["", "x".repeat(5_000), Number.NaN, [], [Number.NaN], {}, null, undefined])
      await expect(cache.get(bad as never)).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("[must-survive 15] stays within its bounds, whatever is put there", () => {
    const cache = createCache<string, string>({
      clock,
      maxEntries: 100,
      maxBytes: 1_000,
      sizeOf: (value) => value.length,
    });
    for (let index = 0; index < 10_000; index += 1) void cache.set(`k${index}`, "x".repeat(index % 50));
    expect(cache.snapshot().entries).toBeLessThanOrEqual(100);
    expect(cache.snapshot().bytes).toBeLessThanOrEqual(1_000);
    void cache.set("huge", "x".repeat(2_000));
    expect(cache.peek("huge")).toBeUndefined();
  });

  it("forgets what nobody has asked for", async () => {
    let asked = 0;
    const cache = createCache({
      clock,
      jitter: 0,
      ttl: "1h",
      maxIdle: "1m",
      load: async (_: string) => (asked += 1),
    });
    await cache.get("k");
    for (let minute = 0; minute < 10; minute += 1) {
      await clock.advance("59s");
      expect(await cache.get("k")).toBe(1);
    }
    await clock.advance("1m");
    expect(await cache.get("k")).toBe(2);
  });

  it("gets many with one that fails", async () => {
    const cache = createCache({
      clock,
      load: async (id: number) => {
        if (id === 2) throw new Error("no such");
        return id * 10;
      },
    });
    expect(await cache.getMany([1, 2, 3])).toMatchObject([
      { status: "fulfilled", value: 10 },
      { status: "rejected", reason: { message: "no such" } },
      { status: "fulfilled", value: 30 },
    ]);
  });

  it("loads under a policy, and tells how each load has ended", async () => {
    const events: CacheLoadEvent[] = [];
    const stop = channel<CacheLoadEvent>("cache", "load").subscribe((event) => events.push(event));
    const policy = {
      kind: "test",
      name: "test",
      run: async (task: (context: never) => unknown) => task(undefined as never),
      snapshot: () => ({ kind: "test", name: "test" }),
      describe: () => ({ kind: "test", name: "test", summary: "" }),
    };
    const cache = createCache({
      clock,
      policy: policy as never,
      load: async (id: string) => (id === "none" ? undefined : id),
    });
    await cache.get("k");
    await cache.get("none");
    stop();
    expect(events.map(({ cache: name, outcome }) => [name, outcome])).toEqual([
      ["cache", "kept"],
      ["cache", "none"],
    ]);
  });

  it("takes nothing more after it was closed, and aborts its loaders", async () => {
    const { load, calls } = loader<string>();
    const cache = createCache({ clock, load });
    const waiting = cache.get("k");
    await settle();
    const rejected = expect(waiting).rejects.toMatchObject({ code: "CLOSED" });
    await cache[Symbol.asyncDispose]();
    await rejected;
    expect(calls[0]!.signal.aborted).toBe(true);
    await expect(cache.get("k")).rejects.toMatchObject({ code: "CLOSED" });
    await expect(cache.set("k", "v")).rejects.toEqual(expect.objectContaining({ code: "CLOSED" }));
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses options that are none", () => {
    const bad: Readonly<Record<string, () => unknown>> = {
      ttl: () => createCache({ ttl: "5 minutes" as never }),
      jitter: () => createCache({ jitter: 2 }),
      maxEntries: () => createCache({ maxEntries: 0 }),
      sizeOf: () => createCache({ maxBytes: 10 }),
      softDeadline: () => createCache({ softDeadline: "1m" }),
      abandonAfter: () => createCache({ abandonAfter: "1s" }),
      refreshAhead: () => createCache({ refreshAhead: 2 }),
      load: () => createCache({ load: "no" as never }),
    };
    for (const [option, make] of Object.entries(bad)) expect(make, option).toThrow(new RegExp(`"${option}"`));
  });
});

describe("put", () => {
  it(row(61, "changes the source first, then the cache; a read after it has the new value"), async () => {
    const source = new Map<string, string>();
    const order: string[] = [];
    const cache = createCache({
      clock,
      jitter: 0,
      ttl: "300s",
      load: async (id: string) => source.get(id),
      write: async (id: string, value: string) => {
        order.push(`source ${cache.peek(id) ?? "none"}`);
        source.set(id, value);
      },
    });
    await cache.put("k", "one");
    expect([await cache.get("k"), cache.snapshot().loads, order]).toEqual(["one", 0, ["source none"]]);
    await clock.advance("300s");
    expect([await cache.get("k"), cache.snapshot().loads]).toEqual(["one", 1]);
  });

  it("leaves nothing behind when the source fails: it may have changed all the same", async () => {
    let asked = 0;
    const cache = createCache({
      clock,
      load: async (_: string): Promise<string> => `loaded ${(asked += 1)}`,
      write: () => Promise.reject(new Error("lost")),
    });
    await cache.get("k");
    await expect(cache.put("k", "new")).rejects.toThrow("lost");
    expect(await cache.get("k")).toBe("loaded 2");
    await expect(createCache<string, string>({ clock }).put("k", "v")).rejects.toThrow(/write/);
  });

  it("leaves nothing behind when writes overlap, or an invalidation comes meanwhile", async () => {
    const finish: (() => void)[] = [];
    const cache = createCache<string, string>({
      clock,
      write: () => new Promise<void>((resolve) => finish.push(resolve)),
    });
    const [one, two] = [cache.put("k", "one"), cache.put("k", "two")];
    finish[1]!();
    await two;
    finish[0]!();
    await one;
    expect(cache.peek("k")).toBeUndefined();
    const three = cache.put("k", "three");
    void cache.invalidate("k");
    finish[2]!();
    await three;
    expect(cache.peek("k")).toBeUndefined();
    const four = cache.put("k", "four", { tags: ["t"] });
    void cache.invalidateTag("t");
    finish[3]!();
    await four;
    expect(cache.peek("k")).toBeUndefined();
  });
});
