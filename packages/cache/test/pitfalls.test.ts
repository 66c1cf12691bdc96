// Bugs that users of other caches have hit (by the numbers of our field notes), which ours must not have.
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { CacheStore } from "@holdfast/cache";
import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;
let store: CacheStore;
beforeEach(() => {
  clock = manualClock();
  store = memoryCacheStore({ clock });
});

describe("a cache", () => {
  it("[pitfall 29] lives for its whole time to live, however short its grace is", async () => {
    for (const share of [undefined, sharedTier({ store })]) {
      let asked = 0;
      const cache = createCache({
        clock,
        jitter: 0,
        ttl: "1h",
        staleIfError: "1s",
        staleWhileRevalidate: "1s",
        load: async (_: string) => (asked += 1),
        ...(share && { share }),
      });
      await cache.get("k");
      await clock.advance("59m");
      expect(await cache.get("k")).toBe(1);
      await cache.close();
    }
  });

  it("[pitfall 31] keeps no index of what depends on a tag, and forgets tags before it grows without bound", async () => {
    const cache = createCache<string, string>({ clock, maxEntries: 10, ttl: "1m" });
    for (let index = 0; index < 50_000; index += 1)
      await cache.set(`k${index}`, "v", { tags: [`t${index}`] });
    expect(cache.snapshot().entries).toBe(10);
    const region = store.open("r");
    for (let index = 0; index < 20_000; index += 1) await region.invalidateTag(`t${index}`);
    // What is older than the forgotten tags is not trusted; what is newer is.
    const value = { payload: "v", tags: ["t0"], freshMs: 60_000, lastMs: 60_000, loadMs: 0 };
    const read = {
      id: "k",
      have: 0,
      lease: "missing",
      leaseMs: 1_000,
      idleMs: Infinity,
      holder: "",
      instead: 0,
    } as const;
    await region.set("k", value);
    expect((await region.read(read)).entry?.payload).toBe("v");
    for (let index = 0; index < 20_000; index += 1) await region.invalidateTag(`u${index}`);
    expect((await region.read(read)).entry).toBeUndefined();
  });

  it("[pitfall 35] takes nothing over from the shared tier that has expired there, or was deleted", async () => {
    const make = () =>
      createCache<string, string>({ clock, jitter: 0, ttl: "1m", share: sharedTier({ store }) });
    const [one, two] = [make(), make()];
    await one.set("k", "v");
    await clock.advance("59s");
    expect(await two.get("k")).toBe("v");
    // Its time to live began when it was set, not when it was taken over.
    await clock.advance("1s");
    expect(await two.get("k")).toBeUndefined();
    await one.set("k", "v");
    expect(await two.get("k")).toBe("v");
    await one.invalidate("k");
    await clock.advance("1s");
    expect([await two.get("k"), await one.get("k"), two.peek("k")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await Promise.all([one.close(), two.close()]);
  });

  it("[pitfall 36] lets nothing live on because it is read", async () => {
    const cache = createCache<string, string>({ clock, jitter: 0, ttl: "10s" });
    await cache.set("k", "v");
    for (let second = 0; second < 9; second += 1) {
      await clock.advance("1s");
      expect(await cache.get("k")).toBe("v");
    }
    await clock.advance("1s");
    expect(await cache.get("k")).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });

  it("[pitfall 38] is coherent without a single message from the store", async () => {
    const deaf: CacheStore = {
      traits: store.traits,
      close: () => store.close(),
      open: (name) => {
        const region = store.open(name);
        return new Proxy(region, {
          get: (target, name) => {
            if (name === "watch") return () => () => {};
            const value = Reflect.get(target, name) as unknown;
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    };
    let version = 1;
    const make = (from: CacheStore) =>
      createCache({
        clock,
        load: async (_: string) => version,
        share: sharedTier({ store: from, coherence: "2s" }),
      });
    const [writer, reader] = [make(store), make(deaf)];
    for (let round = 0; round < 10; round += 1) {
      await reader.get("k");
      version += 1;
      await writer.invalidate("k");
      await clock.advance("2s");
      expect(await reader.get("k")).toBe(version);
    }
    await Promise.all([writer.close(), reader.close()]);
  });

  it("[pitfall 39] takes a bare number for milliseconds, and says its unit for everything else", async () => {
    const cache = createCache<string, string>({ clock, jitter: 0, ttl: 300 });
    await cache.set("k", "v");
    await clock.advance(299);
    expect(await cache.get("k")).toBe("v");
    await clock.advance(1);
    expect(await cache.get("k")).toBeUndefined();
    expect(() => createCache({ ttl: "300" as never })).toThrow(/ttl.*"300"/s);
  });

  it("[pitfall 25] knows no clock but the store's: two processes an hour apart agree", async () => {
    const [early, late] = [manualClock(0), manualClock(3_600_000)];
    const make = (own: ManualClock) =>
      createCache<string, string>({
        clock: own,
        jitter: 0,
        ttl: "1m",
        share: sharedTier({ store, coherence: 0 }),
      });
    const [one, two] = [make(early), make(late)];
    await one.set("k", "v", { tags: ["t"] });
    expect(await two.get("k")).toBe("v");
    await two.invalidateTag("t");
    expect(await one.get("k")).toBeUndefined();
    await one.set("k", "w", { tags: ["t"] });
    expect([await one.get("k"), await two.get("k")]).toEqual(["w", "w"]);
    await Promise.all([one.close(), two.close()]);
  });
});
