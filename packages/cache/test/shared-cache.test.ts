import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock } from "@holdfast/core/testing";
import type { CacheOptions, CacheRegion, CacheStore, SharedTierOptions } from "@holdfast/cache";
import { compressed, createCache, jsonCodec, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { StoreUnavailableError } from "@holdfast/core";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { Wire } from "./wire.ts";

let clock: ManualClock;
let store: CacheStore;
beforeEach(() => {
  clock = manualClock();
  store = memoryCacheStore({ clock });
});

/** A cache of one process of several. */
function member(options: Partial<CacheOptions<string, object>>, tier: Partial<SharedTierOptions> = {}) {
  return createCache<string, object | string | number>({
    clock,
    jitter: 0,
    ttl: "1m",
    ...(options as object),
    share: sharedTier({ store, ...tier }),
  });
}

/** A source that counts, and answers when it is told to. */
function slowSource() {
  const calls: { readonly resolve: (value: string) => void; readonly reject: (error: Error) => void }[] = [];
  return {
    calls,
    load: () => new Promise<string>((resolve, reject) => calls.push({ resolve, reject })),
  };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
};

/** The store, whose calls fail while `isDown`. */
function breakable(): { readonly store: CacheStore; isDown: boolean } {
  const state = {
    isDown: false,
    store: {
      traits: store.traits,
      close: () => store.close(),
      open: (name: string): CacheRegion => {
        const region = store.open(name);
        const down = new StoreUnavailableError("test", "down", { reason: "connection", outcome: "none" });
        const methods = ["read", "fill", "set", "beginWrite", "endWrite", "renew", "release"] as const;
        const others = ["invalidate", "invalidateTag", "clear", "changes"] as const;
        return faulty(region, {
          methods: [...methods, ...others],
          plan: () => (state.isDown ? { kind: "error", error: down } : undefined),
        });
      },
    },
  };
  return state;
}

describe("a cache that is shared", () => {
  it(
    row(66, "answers from memory, then from what all share, then from the source, which is asked once"),
    async () => {
      let asked = 0;
      const load = async (id: string) => `${id}:${(asked += 1)}`;
      const [one, two] = [member({ load: load as never }), member({ load: load as never })];
      const reads = Promise.all([one.get("a"), two.get("a"), one.get("a")]);
      await clock.advance(10);
      expect(await reads).toEqual(["a:1", "a:1", "a:1"]);
      expect(await one.get("a")).toBe("a:1");
      expect(asked).toBe(1);
      expect(one.snapshot()).toMatchObject({ hits: 1, loads: 1, share: { isTrusted: true } });
      expect(two.snapshot()).toMatchObject({ loads: 0, share: { hits: 0 }, misses: 1 });
      const three = member({ load: load as never });
      expect(await three.get("a")).toBe("a:1");
      expect(three.snapshot()).toMatchObject({ loads: 0, misses: 0, share: { hits: 1 } });
      await Promise.all([one.close(), two.close(), three.close()]);
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it("[pitfall 26] renews what is stale or will be by one load for the fleet, while all are served", async () => {
    const source = slowSource();
    const options = { load: source.load as never, staleWhileRevalidate: "1m", refreshAhead: 0.5 } as const;
    const [one, two] = [member(options), member(options)];
    const first = [one.get("k"), two.get("k")];
    await settle();
    expect(source.calls).toHaveLength(1);
    source.calls[0]!.resolve("one");
    await settle();
    await clock.advance("1s");
    expect(await Promise.all(first)).toEqual(["one", "one"]);
    // Ahead of its time.
    await clock.advance("40s");
    for (let read = 0; read < 3; read += 1)
      expect(await Promise.all([one.get("k"), two.get("k")])).toEqual(["one", "one"]);
    await settle();
    expect(source.calls).toHaveLength(2);
    source.calls[1]!.resolve("two");
    await settle();
    expect(await one.get("k")).toBe("two");
    // The other takes over what has been renewed, and does not load.
    await clock.advance("10s");
    await two.get("k");
    await settle();
    expect(await two.get("k")).toBe("two");
    // After its time.
    await clock.advance("80s");
    expect(await Promise.all([one.get("k"), two.get("k")])).toEqual(["two", "two"]);
    await settle();
    expect(source.calls).toHaveLength(3);
    source.calls[2]!.reject(new Error("down"));
    await settle();
    await Promise.all([one.close(), two.close()]);
  });

  it("serves what is stale when loading fails, anywhere, and asks the source again after a pause", async () => {
    let fails = false;
    let asked = 0;
    const load = async () => {
      asked += 1;
      if (fails) throw new Error("down");
      return `value ${asked}`;
    };
    const options = { load: load as never, staleIfError: "1h", errorPause: "5s" } as const;
    const [one, two] = [member(options), member(options)];
    await one.get("k");
    await two.get("k");
    fails = true;
    await clock.advance("2m");
    for (let read = 0; read < 5; read += 1) {
      const reads = Promise.all([one.get("k"), two.get("k")]);
      await clock.advance(10);
      expect(await reads).toEqual(["value 1", "value 1"]);
    }
    expect(asked).toBe(2);
    await clock.advance("6s");
    fails = false;
    await one.get("k");
    await settle();
    expect(await two.get("k")).toBe("value 3");
    expect(asked).toBe(3);
    await Promise.all([one.close(), two.close()]);
  });

  it("[must-survive 9] tells each process's callers when loading fails, one load at a time", async () => {
    let running = 0;
    let most = 0;
    const load = async () => {
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(10);
      running -= 1;
      throw new Error("down");
    };
    const all = [1, 2, 3].map(() => member({ load: load as never }));
    const reads = all.flatMap((one) => Array.from({ length: 100 }, () => one.get("k")));
    const results = Promise.allSettled(reads);
    await clock.advance("10s");
    expect(
      new Set((await results).map((result) => result.status === "rejected" && String(result.reason))),
    ).toEqual(new Set(["Error: down"]));
    expect(most).toBe(1);
    await Promise.all(all.map((one) => one.close()));
    expect(clock.pendingTimers).toBe(0);
  });

  it("remembers for all that there is none", async () => {
    let asked = 0;
    const load = async () => void (asked += 1);
    const [one, two] = [
      member({ load: load as never, negativeTtl: "10s" }),
      member({ load: load as never, negativeTtl: "10s" }),
    ];
    expect([await one.get("k"), await two.get("k"), asked]).toEqual([undefined, undefined, 1]);
    await clock.advance("11s");
    expect([await two.get("k"), asked]).toEqual([undefined, 2]);
    await Promise.all([one.close(), two.close()]);
  });

  it("is a cache aside without a loader: what one sets, others get, until it is invalidated", async () => {
    const [one, two] = [member({}), member({})];
    expect(await two.get("k")).toBeUndefined();
    await one.set("k", "value", { tags: ["t"] });
    expect([await one.get("k"), await two.get("k")]).toEqual(["value", "value"]);
    expect([await one.get("k"), one.peek("k")]).toEqual(["value", "value"]);
    await two.invalidateTag("t");
    await clock.advance("1s");
    expect([await one.get("k"), await two.get("k")]).toEqual([undefined, undefined]);
    await one.set("k", "again");
    await one.clear();
    await clock.advance("1s");
    expect([await one.get("k"), await two.get("k")]).toEqual([undefined, undefined]);
    await Promise.all([one.close(), two.close()]);
  });

  it("writes through: the source first; and of a write that fails nothing is left anywhere", async () => {
    const source = new Map([["k", "old"]]);
    let fails = false;
    const options = {
      load: (async (id: string) => source.get(id)) as never,
      write: async (id: string, value: unknown) => {
        source.set(id, value as string);
        if (fails) throw new Error("lost");
      },
    };
    const [one, two] = [member(options), member(options, { coherence: 0 })];
    expect([await one.get("k"), await two.get("k")]).toEqual(["old", "old"]);
    await one.put("k", "new");
    expect([await one.get("k"), await two.get("k")]).toEqual(["new", "new"]);
    expect(two.snapshot().loads).toBe(0);
    fails = true;
    await expect(one.put("k", "doubtful")).rejects.toThrow("lost");
    expect([await one.get("k"), await two.get("k")]).toEqual(["doubtful", "doubtful"]);
    await Promise.all([one.close(), two.close()]);
  });

  it("loads for itself while another process writes, and lets nobody keep it", async () => {
    let finish = (): void => {};
    const source = new Map([["k", "old"]]);
    const options = {
      load: (async (id: string) => source.get(id)) as never,
      write: (id: string, value: unknown) =>
        new Promise<void>((resolve) => {
          finish = () => {
            source.set(id, value as string);
            resolve();
          };
        }),
    };
    const [one, two] = [member(options, { coherence: 0 }), member(options, { coherence: 0 })];
    const write = one.put("k", "new");
    await settle();
    expect(await two.get("k")).toBe("old");
    finish();
    await write;
    expect(await two.get("k")).toBe("new");
    await Promise.all([one.close(), two.close()]);
  });

  it("takes over from a process that has stopped in the middle of a load", async () => {
    const [dead, source] = [slowSource(), slowSource()];
    const [one, two] = [
      member({ load: dead.load as never }, { lease: "5s" }),
      member({ load: source.load as never }, { lease: "5s" }),
    ];
    void one.get("k").catch(() => {});
    await settle();
    // Its close is not heard of, as of one that was killed.
    const read = two.get("k");
    await clock.advance("4s");
    expect(source.calls).toHaveLength(0);
    // As long as it lives, it goes on.
    await clock.advance("10s");
    expect(source.calls).toHaveLength(0);
    await one.close();
    await clock.advance("1s");
    expect(source.calls).toHaveLength(1);
    source.calls[0]!.resolve("value");
    await clock.advance(0);
    expect(await read).toBe("value");
    await two.close();
  });

  it("[must-survive 13] keeps every kind of value as it is", async () => {
    const values = [
      null,
      Number.NaN,
      -0,
      Infinity,
      false,
      "",
      "\ud800",
      12n,
      new Date(5),
      new Date(Number.NaN),
      new Map<unknown, unknown>([["a", new Set([1, { b: undefined }])]]),
      new Uint8Array([0, 255, 7]),
      { a: undefined, b: [undefined, null], c: { $holdfast: "bigint", of: "12" } },
      JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}') as object,
      { deep: { $holdfast: undefined } },
      "x".repeat(100_000),
    ];
    const codecs = [jsonCodec(), compressed(jsonCodec()), compressed(jsonCodec(), { above: 0 })];
    for (const codec of codecs)
      for (const value of values) {
        const options = { clock, codec: codec as never, name: "values" } as const;
        const make = () =>
          createCache<string, never>({ ...options, share: sharedTier({ store, coherence: 0 }) });
        const [one, two] = [make(), make()];
        await one.set("k", value as never);
        const read: unknown = await two.get("k");
        expect(read).toEqual(value);
        expect(Object.is(read, -0)).toBe(Object.is(value, -0));
        expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
        await Promise.all([one.close(), two.close()]);
      }
  });

  it("[must-survive 13] keeps 10 MB, and refuses what cannot be written at once", async () => {
    const [one, two] = [member({}), member({})];
    const large = "ä".repeat(5_000_000);
    await one.set("large", large);
    expect(await two.get("large")).toBe(large);
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    for (const bad of [cyclic, { f: () => {} }, Symbol("s")])
      await expect(one.set("bad", bad as never)).rejects.toMatchObject({ code: "INVALID_OPTION" });
    await Promise.all([one.close(), two.close()]);
  });

  it("[must-survive 11] takes what it cannot read for missing, and loads over it", async () => {
    let asked = 0;
    const [writer, reader] = [
      member({ codec: { encode: () => "garbage", decode: () => 0 } as never }),
      member({ load: (async () => `value ${(asked += 1)}`) as never }),
    ];
    await writer.set("k", "x");
    expect(await reader.get("k")).toBe("value 1");
    expect(await reader.get("k")).toBe("value 1");
    const second = member({ load: (async () => "never") as never });
    expect(await second.get("k")).toBe("value 1");
    await Promise.all([writer.close(), reader.close(), second.close()]);
  });

  it("[pitfall 30] never reads what was kept under another name or schema", async () => {
    const [one, two, three] = [
      member({ name: "a" }, { schema: 1 }),
      member({ name: "a" }, { schema: 2 }),
      member({ name: "b" }, { schema: 1 }),
    ];
    await one.set("k", "of one");
    expect([await two.get("k"), await three.get("k")]).toEqual([undefined, undefined]);
    await two.clear();
    expect(await one.get("k")).toBe("of one");
    await Promise.all([one.close(), two.close(), three.close()]);
  });

  it("asks the source while the store is down, one load at a time, and keeps it no longer than it may", async () => {
    const state = breakable();
    let asked = 0;
    const one = member({ load: (async () => `value ${(asked += 1)}`) as never }, { store: state.store });
    state.isDown = true;
    const reads = Array.from({ length: 100 }, () => one.get("k"));
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["value 1"]));
    await clock.advance("999ms");
    expect(await one.get("k")).toBe("value 1");
    await clock.advance("1ms");
    expect(await one.get("k")).toBe("value 2");
    expect(one.snapshot().share!.failures).toBeGreaterThan(0);
    state.isDown = false;
    await clock.advance("1s");
    expect(await one.get("k")).toBe("value 3");
    const two = member({ load: (async () => "never") as never });
    expect(await two.get("k")).toBe("value 3");
    await Promise.all([one.close(), two.close()]);
  });

  it("asks the source anew for who asks after a load has begun, if nothing old may be served", async () => {
    const state = breakable();
    const source = slowSource();
    const one = member({ load: source.load as never }, { store: state.store, coherence: 0 });
    state.isDown = true;
    const first = one.get("k");
    await settle();
    const later = [one.get("k"), one.get("k"), one.get("k")];
    await settle();
    expect(source.calls).toHaveLength(1);
    source.calls[0]!.resolve("one");
    await settle();
    expect(source.calls).toHaveLength(2);
    source.calls[1]!.resolve("two");
    expect([await first, ...(await Promise.all(later))]).toEqual(["one", "two", "two", "two"]);
    await one.close();
  });

  it("gives nobody who asks after an invalidation by tag what was loaded alone before it", async () => {
    const state = breakable();
    const source = slowSource();
    const one = member({ load: source.load as never, tags: () => ["t"] }, { store: state.store });
    state.isDown = true;
    const first = one.get("k");
    await settle();
    state.isDown = false;
    await one.invalidateTag("t");
    state.isDown = true;
    const late = one.get("k");
    await settle();
    source.calls[0]!.resolve("old");
    await settle();
    source.calls[1]!.resolve("new");
    expect([await first, await late]).toEqual(["old", "new"]);
    await one.close();
  });

  it("fails with the store, if it is told to", async () => {
    const state = breakable();
    const one = member(
      { load: (async () => "value") as never, write: async () => {} },
      { store: state.store, onStoreError: "fail" },
    );
    expect(await one.get("k")).toBe("value");
    state.isDown = true;
    await clock.advance("2s");
    await expect(one.get("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await expect(one.refresh("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await expect(one.put("k", "v")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await one.close();
  });

  it("makes good what the store has not acknowledged, before anything is read from it", async () => {
    for (const by of ["key", "tag", "all", "many keys"] as const) {
      const state = breakable();
      const source = new Map([["k", "old"]]);
      const options = { load: (async (id: string) => source.get(id)) as never, tags: () => ["t"], name: by };
      const [one, two] = [
        member(options, { store: state.store, coherence: 0 }),
        member(options, { coherence: 0 }),
      ];
      await two.get("k");
      source.set("k", "new");
      state.isDown = true;
      const down = { code: "STORE_UNAVAILABLE" };
      if (by === "key") await expect(one.invalidate("k")).rejects.toMatchObject(down);
      else if (by === "tag") await expect(one.invalidateTag("t")).rejects.toMatchObject(down);
      else if (by === "all") await expect(one.clear()).rejects.toMatchObject(down);
      else
        await Promise.allSettled(
          Array.from({ length: 1_500 }, (_, index) => one.invalidate(index === 0 ? "k" : `k${index}`)),
        );
      expect(one.snapshot().share!.owed).toBeGreaterThan(0);
      expect(one.snapshot().share!.owed).toBeLessThanOrEqual(1_001);
      expect(await two.get("k")).toBe("old");
      state.isDown = false;
      // Without anybody who reads, after a moment.
      await clock.advance("2s");
      expect(one.snapshot().share!.owed).toBe(0);
      expect([await one.get("k"), await two.get("k")], by).toEqual(["new", "new"]);
      await Promise.all([one.close(), two.close()]);
    }
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes back a lease whose answer was lost, without waiting for its end", async () => {
    let isLost = true;
    const lossy: CacheStore = {
      traits: store.traits,
      close: () => store.close(),
      open: (name) => {
        const region = store.open(name);
        return faulty(region, {
          methods: ["read"],
          plan: () => {
            const lost = isLost;
            isLost = false;
            const error = new StoreUnavailableError("test", "lost", {
              reason: "timeout",
              outcome: "unknown",
            });
            return lost ? { kind: "lost-reply", error } : undefined;
          },
        });
      },
    };
    const one = member({ load: (async () => "value") as never }, { store: lossy, lease: "1h", coherence: 0 });
    expect(await one.get("k")).toBe("value");
    expect(await one.get("k")).toBe("value");
    expect(one.snapshot()).toMatchObject({ loads: 2, share: { failures: 1 } });
    await one.close();
  });

  it("ends a caller's wait with its signal, or at the hard deadline, wherever it waits", async () => {
    const source = slowSource();
    const [one, two] = [
      member({ load: source.load as never }),
      member({ load: source.load as never, hardDeadline: "3s" }),
    ];
    void one.get("k").catch(() => {});
    await settle();
    const stop = new AbortController();
    const leaving = two.get("k", { signal: stop.signal });
    const late = two.get("k");
    const results = Promise.allSettled([leaving, late]);
    await clock.advance("1s");
    stop.abort(new Error("left"));
    await clock.advance("3s");
    expect(await results).toMatchObject([{ reason: { message: "left" } }, { reason: { code: "TIMEOUT" } }]);
    await Promise.all([one.close(), two.close()]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("counts its trust from when it asked what had changed, not from when it was told", async () => {
    const wire = new Wire(clock, 1_000);
    const load = (async () => "value") as never;
    const one = member({ load }, { store: wire.store(store), coherence: 100 });
    const deliver = async (): Promise<void> => {
      for (const message of wire.messages.splice(0)) message.deliver();
      await settle();
    };
    const read = one.get("k");
    // The question of the read and the one what has changed: asked now, answered late.
    await deliver();
    await clock.advance(80);
    while (wire.messages.length > 0) await deliver();
    expect(await read).toBe("value");
    expect(one.snapshot().share!.isTrusted).toBe(true);
    await clock.advance(20);
    expect(one.snapshot().share!.isTrusted).toBe(false);
    wire.open();
    await one.close();
  });

  it("asks nothing of the store while nobody reads", async () => {
    let asked = 0;
    const counting: CacheStore = {
      traits: store.traits,
      close: () => store.close(),
      open: (name) =>
        faulty(store.open(name), {
          plan: ({ method }) => void (asked += method === "watch" ? 0 : 1),
          methods: ["changes", "read"],
        }),
    };
    const one = member({ load: (async () => "value") as never }, { store: counting });
    await one.get("k");
    await clock.advance("10s");
    const before = asked;
    await clock.advance("1h");
    expect(asked).toBe(before);
    expect(before).toBeLessThan(6);
    await one.close();
    await expect(one.get("k")).rejects.toMatchObject({ code: "CLOSED" });
    await one.close();
  });

  it("refuses options that make no sense", () => {
    for (const options of [
      { store: {} },
      { store, coherence: -1 },
      { store, lease: 1 },
      { store, onStoreError: "x" },
    ])
      expect(() => sharedTier(options as never)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    expect(() => createCache({ share: {} as never })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
    expect(() => createCache({ codec: {} as never })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });
});
