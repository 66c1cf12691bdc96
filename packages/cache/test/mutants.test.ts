// The suite is only as good as the faults it finds: each of these stores must fail it.
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { CacheRegion, CacheStore, SharedValue } from "@holdfast/cache";
import { memoryCacheStore } from "@holdfast/cache";
import { cacheStoreConformance } from "@holdfast/cache/testing";
import { describe, expect, it } from "vitest";

/** Titles of the clauses that a store does not keep. */
async function brokenClauses(mutate: Mutation): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  cacheStoreConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      make: () => mutated(memoryCacheStore({ clock: (clock = manualClock()) }), mutate),
      advance: (ms) => clock.advance(ms),
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) await body().catch(() => failed.push(title));
  return failed;
}

/** What a region does otherwise; called once for each region. */
type Mutation = (region: CacheRegion) => Partial<CacheRegion>;

function mutated(store: CacheStore, mutate: Mutation): CacheStore {
  const regions = new Map<string, CacheRegion>();
  const made = (name: string): CacheRegion => {
    const region = store.open(name);
    const own: CacheRegion = {
      read: (request) => region.read(request),
      fill: (id, fence, value) => region.fill(id, fence, value),
      set: (id, value) => region.set(id, value),
      beginWrite: (id, leaseMs) => region.beginWrite(id, leaseMs),
      endWrite: (id, fence, value) => region.endWrite(id, fence, value),
      renew: (id, fence, leaseMs) => region.renew(id, fence, leaseMs),
      release: (id, fence, pauseMs) => region.release(id, fence, pauseMs),
      invalidate: (id) => region.invalidate(id),
      invalidateTag: (tag) => region.invalidateTag(tag),
      clear: () => region.clear(),
      changes: (since) => region.changes(since),
      watch: (watcher) => region.watch(watcher),
    };
    return { ...own, ...mutate(region) };
  };
  return {
    traits: store.traits,
    close: () => store.close(),
    open: (name) => {
      const known = regions.get(name) ?? made(name);
      regions.set(name, known);
      return known;
    },
  };
}

const longer = (value: SharedValue): SharedValue => ({ ...value, lastMs: value.lastMs * 10 });

const MUTANTS: Readonly<Record<string, Mutation>> = {
  "keeps a load whose lease is gone": (region) => ({
    fill: async (id, fence, value) =>
      (await region.fill(id, fence, value)) || (await region.set(id, value)) > 0,
  }),
  "says that it has kept what it has not": (region) => ({
    fill: async (id, fence, value) => (await region.fill(id, fence, value), true),
  }),
  "keeps a load in spite of its tags": (region) => ({
    fill: async (id, fence, value) => {
      const isKept = await region.fill(id, fence, { ...value, tags: [] });
      return isKept;
    },
  }),
  "gives a lease to each who asks": (region) => ({
    read: (request) =>
      region.read({ ...request, lease: request.lease === "missing" ? "always" : request.lease }),
  }),
  "gives no lease for what is stale": (region) => ({
    read: async (request) => {
      const reading = await region.read({ ...request, lease: "never" });
      return reading.entry !== undefined && request.lease === "missing" ? reading : region.read(request);
    },
  }),
  "takes no lease away": (region) => ({
    read: (request) =>
      region.read({ ...request, lease: request.lease === "always" ? "missing" : request.lease }),
  }),
  "renews for whoever asks": (region) => ({
    read: (request) =>
      region.read({ ...request, lease: request.lease === "same" ? "always" : request.lease }),
  }),
  "does not know its holders": (region) => ({
    read: async (request) => {
      const { lease, entry } = await region.read(request);
      return { entry, lease: lease.kind === "held" ? { ...lease, isOwn: false } : lease };
    },
  }),
  "takes everybody for the holder": (region) => ({
    read: async (request) => {
      const { lease, entry } = await region.read(request);
      return { entry, lease: lease.kind === "held" ? { ...lease, isOwn: true } : lease };
    },
  }),
  "gives no lease instead of another": (region) => ({
    read: (request) => region.read({ ...request, instead: 0 }),
  }),
  "gives leases that never end": (region) => ({
    read: (request) => region.read({ ...request, leaseMs: request.leaseMs * 1_000 }),
  }),
  "never renews": () => ({ renew: async () => false }),
  "renews what is gone": (region) => ({
    renew: async (id, fence, leaseMs) => (await region.renew(id, fence, leaseMs), true),
  }),
  "says that it renews": (region) => ({
    renew: async (id, fence) => region.renew(id, fence, 0).then(() => true),
  }),
  "releases any lease": (region) => ({
    release: async (id, fence, pauseMs) => {
      for (let other = fence; other < fence + 3; other += 1) await region.release(id, other, pauseMs);
    },
  }),
  "releases nothing": () => ({ release: async () => {} }),
  "does not pause": (region) => ({ release: (id, fence) => region.release(id, fence, 0) }),
  "pauses for ever": (region) => ({
    release: (id, fence, pauseMs) => region.release(id, fence, pauseMs * 1_000),
  }),
  "sends again what the reader has": (region) => ({
    read: (request) => region.read({ ...request, have: -1 }),
  }),
  "sends nothing to who has something": (region) => ({
    read: async (request) => {
      const { lease, entry } = await region.read(request);
      if (entry === undefined || request.have === 0) return { lease, entry };
      return { lease, entry: { ...entry, isSame: true, payload: undefined, tags: [] } };
    },
  }),
  "forgets tags": (region) => ({ set: (id, value) => region.set(id, { ...value, tags: [] }) }),
  "knows one tag of a value only": (region) => ({
    set: (id, value) => region.set(id, { ...value, tags: value.tags.slice(0, 1) }),
    fill: (id, fence, value) => region.fill(id, fence, { ...value, tags: value.tags.slice(0, 1) }),
  }),
  "takes tags for the same that begin alike": (region) => ({
    invalidateTag: (tag) => region.invalidateTag(tag[0]!),
    set: (id, value) => region.set(id, { ...value, tags: value.tags.map((tag) => tag[0]!) }),
  }),
  "takes nothing for an empty text": (region) => ({
    set: (id, value) => region.set(id, { ...value, payload: value.payload ?? "" }),
  }),
  "takes an empty text for nothing": (region) => ({
    set: (id, value) => {
      const payload = value.payload === "" ? undefined : value.payload;
      return region.set(id, { ...value, payload });
    },
  }),
  "keeps values for too long": (region) => ({ set: (id, value) => region.set(id, longer(value)) }),
  "keeps values for too short": (region) => ({
    set: (id, value) => region.set(id, { ...value, lastMs: value.freshMs }),
  }),
  "knows no idle time": (region) => ({ read: (request) => region.read({ ...request, idleMs: Infinity }) }),
  "forgets what is idle although it is read": (region) => {
    const first = new Set<string>();
    return {
      read: (request) => {
        const isFirst = request.idleMs !== Infinity && !first.has(request.id);
        if (isFirst) first.add(request.id);
        return region.read({ ...request, idleMs: isFirst ? request.idleMs / 2 : request.idleMs / 4 });
      },
    };
  },
  "takes one key for another": (region) => ({
    set: (id, value) => region.set(id.slice(0, 1), value),
    read: (request) => region.read({ ...request, id: request.id.slice(0, 1) }),
  }),
  "has one region only": (() => {
    let first: CacheRegion | undefined;
    return (region: CacheRegion) => {
      first = first === undefined ? region : first;
      return first === region ? {} : { read: (request) => first!.read(request) };
    };
  })(),
  "does not invalidate": () => ({ invalidate: async () => {} }),
  "lets loads survive an invalidation": (region) => ({
    invalidate: async (id) => {
      await region.set(id, { payload: undefined, tags: [], freshMs: 0, lastMs: 0, loadMs: 0 });
    },
    fill: async (id, fence, value) =>
      (await region.fill(id, fence, value)) || (await region.set(id, value)) > 0,
  }),
  "does not invalidate tags": () => ({ invalidateTag: async () => {} }),
  "clears by tag": (region) => ({ invalidateTag: () => region.clear() }),
  "clears nothing": () => ({ clear: async () => {} }),
  "does not take leases away for a write": (region) => ({
    beginWrite: async (id) => (await region.read({ ...ASKED, id })).entry?.version ?? 1,
  }),
  "keeps what was written in spite of others": (region) => ({
    endWrite: async (id, fence, value) => {
      if (await region.endWrite(id, fence, value)) return true;
      if (value !== undefined) await region.set(id, value);
      return value !== undefined;
    },
  }),
  "keeps nothing that was written": (region) => ({
    endWrite: async (id, fence) => region.endWrite(id, fence, undefined),
  }),
  "leaves what was there when a write is in doubt": (region) => ({
    endWrite: async (id, fence, value) => {
      const { entry } = await region.read({ ...ASKED, id });
      const isKept = await region.endWrite(id, fence, value);
      if (!isKept && entry !== undefined) await region.set(id, { ...entry, lastMs: entry.freshMs });
      return isKept;
    },
  }),
  "never doubts a silent writer": (region) => ({
    beginWrite: (id, leaseMs) => region.beginWrite(id, leaseMs * 1_000),
  }),
  "never resets": (region) => ({
    changes: async (since) => ({ ...(await region.changes(since)), isReset: false }),
  }),
  "always resets": (region) => ({
    changes: async (since) => ({ ...(await region.changes(since)), isReset: true, keys: [], tags: [] }),
  }),
  "tells changes twice": (region) => ({
    changes: async (since) => {
      const changes = await region.changes(since);
      return since === undefined || changes.isReset ? changes : { ...changes, cursor: since };
    },
  }),
  "tells no tags": (region) => ({
    changes: async (since) => ({ ...(await region.changes(since)), tags: [] }),
  }),
  "tells no keys": (region) => ({
    changes: async (since) => ({ ...(await region.changes(since)), keys: [] }),
  }),
  "tells of loads": (region) => ({
    fill: async (id, fence, value) => {
      const isKept = await region.fill(id, fence, value);
      if (isKept) await region.set(id, value);
      return isKept;
    },
  }),
  "gives the same version to all": (region) => ({
    set: async (id, value) => (await region.set(id, value), 1),
  }),
};

const ASKED = {
  id: "",
  have: 0,
  lease: "never",
  leaseMs: 1,
  idleMs: Infinity,
  holder: "",
  instead: 0,
} as const;

describe("the suite for stores of shared values", () => {
  it("finds no fault in the store in memory", async () => {
    expect(await brokenClauses(() => ({}))).toEqual([]);
  });

  for (const [what, mutate] of Object.entries(MUTANTS))
    it(`rejects a store that ${what}`, async () => {
      expect(await brokenClauses(mutate)).not.toEqual([]);
    });
});
