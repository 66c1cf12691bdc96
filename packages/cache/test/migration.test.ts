// Each row of the table in docs/migrate-cache.md, shown.
import { readFileSync } from "node:fs";
import { StoreUnavailableError } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock } from "@holdfast/core/testing";
import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
import { beforeEach, describe, expect, it } from "vitest";

const document = readFileSync(new URL("../../../docs/migrate-cache.md", import.meta.url), "utf8");
const table = document.split("## What behaves otherwise")[1] ?? "";
const cases = [...table.matchAll(/^\| (.+?) +\|/gm)].map(([, name]) => name!).slice(2);

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

/** A load that has seen "old" is invalidated half-way. */
async function keptAfter(invalidate: (cache: ReturnType<typeof slowCache>["cache"]) => Promise<void>) {
  const { cache, answers } = slowCache();
  const early = cache.get("k");
  await settle();
  await invalidate(cache);
  answers[0]!("old");
  expect(await early).toBe("old");
  const late = cache.get("k");
  await settle();
  answers[1]?.("new");
  return late;
}

function slowCache() {
  const answers: ((value: string) => void)[] = [];
  const load = (_: string) => new Promise<string>((resolve) => void answers.push(resolve));
  return { answers, cache: createCache({ clock, load, tags: () => ["t"], hardDeadline: "1s" }) };
}

const shown: Readonly<Record<string, () => Promise<void>>> = {
  "An invalidation while it is loaded": async () => {
    expect(await keptAfter((cache) => cache.invalidate("k"))).toBe("new");
  },
  "A tag's invalidation while it is loaded": async () => {
    expect(await keptAfter((cache) => cache.invalidateTag("t"))).toBe("new");
  },
  "A loader that fails": async () => {
    let asked = 0;
    const load = async (): Promise<string> => {
      asked += 1;
      if (asked === 1) throw new Error("down");
      return "fine";
    };
    const cache = createCache({ clock, load });
    const results = await Promise.allSettled([cache.get("k"), cache.get("k")]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await cache.get("k")).toBe("fine");
  },
  "A loader that is slower than its deadline": async () => {
    const { cache, answers } = slowCache();
    for (let wave = 0; wave < 3; wave += 1) {
      const read = expect(cache.get("k")).rejects.toMatchObject({ code: "TIMEOUT" });
      await clock.advance("1s");
      await read;
    }
    expect(answers).toHaveLength(1);
    answers[0]!("late");
    await settle();
    expect(cache.peek("k")).toBe("late");
  },
  "Grace shorter than the time to live": async () => {
    let asked = 0;
    const load = async (_: string) => (asked += 1);
    const cache = createCache({ clock, load, jitter: 0, ttl: "1h", staleIfError: "1s" });
    await cache.get("k");
    await clock.advance("59m");
    expect(await cache.get("k")).toBe(1);
  },
  "Keys made of parts": async () => {
    const cache = createCache<readonly string[], number>({ clock });
    await cache.set(["a", "b:c"], 1);
    expect(await cache.get(["a:b", "c"])).toBeUndefined();
  },
  "`undefined` from a loader": async () => {
    let asked = 0;
    const load = async (_: string): Promise<string | undefined> => void (asked += 1);
    const cache = createCache({ clock, load, negativeTtl: "1m" });
    expect([await cache.get("k"), await cache.get("k"), asked]).toEqual([undefined, undefined, 1]);
  },
  "`null` from a loader": async () => {
    let asked = 0;
    const cache = createCache({ clock, load: async (_: string) => ((asked += 1), null) });
    expect([await cache.get("k"), await cache.get("k"), asked]).toEqual([null, null, 1]);
  },
  "What a class instance is after the L2": async () => {
    class Point {
      at: Date = new Date(0);
      readonly tags: Set<string> = new Set(["a"]);
    }
    const share = sharedTier({ store: memoryCacheStore({ clock }), coherence: 0 });
    const [one, two] = [
      createCache<string, object>({ clock, share }),
      createCache<string, object>({ clock, share }),
    ];
    await one.set("k", new Point());
    const read = await two.get("k");
    expect(read).toEqual({ at: new Date(0), tags: new Set(["a"]) });
    expect(read).not.toBeInstanceOf(Point);
    await Promise.all([one.close(), two.close()]);
  },
  "The bus is away": async () => {
    const { store, state } = breakable();
    const cache = createCache({ clock, load: async (_: string) => "v", share: sharedTier({ store }) });
    await cache.get("k");
    await cache.get("k");
    expect(cache.peek("k")).toBe("v");
    state.isDown = true;
    await clock.advance("1s");
    expect(cache.peek("k")).toBeUndefined();
    await cache.close();
  },
  "The store is away": async () => {
    const { store, state } = breakable();
    state.isDown = true;
    let asked = 0;
    const load = async (_: string) => (asked += 1);
    const lenient = createCache({ clock, load, share: sharedTier({ store }) });
    expect(await Promise.all([lenient.get("k"), lenient.get("k")])).toEqual([1, 1]);
    const strict = createCache({ clock, load, share: sharedTier({ store, onStoreError: "fail" }) });
    await expect(strict.get("k")).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await Promise.all([lenient.close(), strict.close()]);
  },
  "Many processes that miss one key": async () => {
    const store = memoryCacheStore({ clock });
    let asked = 0;
    const load = async (_: string) => (asked += 1);
    const all = Array.from({ length: 5 }, () => createCache({ clock, load, share: sharedTier({ store }) }));
    const reads = Promise.all(all.map((one) => one.get("k")));
    await clock.advance("1s");
    expect([await reads, asked]).toEqual([[1, 1, 1, 1, 1], 1]);
    await Promise.all(all.map((one) => one.close()));
  },
  "The time to live": async () => {
    const cache = createCache<number, string>({ clock, ttl: "100s" });
    for (let key = 0; key < 100; key += 1) await cache.set(key, "v");
    await clock.advance("89s");
    for (let key = 0; key < 100; key += 1) expect(cache.peek(key)).toBe("v");
    await clock.advance("6s");
    const left = Array.from({ length: 100 }, (_, key) => cache.peek(key)).filter(
      (value) => value !== undefined,
    );
    expect(left.length).toBeGreaterThan(10);
    expect(left.length).toBeLessThan(90);
  },
};

function breakable() {
  const inner = memoryCacheStore({ clock });
  const state = { isDown: false };
  const error = new StoreUnavailableError("test", "down", { reason: "connection", outcome: "none" });
  const store = {
    traits: inner.traits,
    close: () => inner.close(),
    open: (name: string) =>
      faulty(inner.open(name), {
        methods: ["read", "fill", "changes"],
        plan: () => (state.isDown ? { kind: "error", error } : undefined),
      }),
  };
  return { store, state };
}

describe("docs/migrate-cache.md", () => {
  it("has a row for each case that is shown here, and shows each", () => {
    expect(cases.toSorted()).toEqual(Object.keys(shown).toSorted());
  });

  for (const [name, show] of Object.entries(shown)) it(`shows: ${name}`, show);
});
