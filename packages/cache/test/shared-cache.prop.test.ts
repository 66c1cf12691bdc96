import { manualClock, seededRandom } from "@holdfast/core/testing";
import type { Cache } from "@holdfast/cache";
import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Wire } from "./wire.ts";

interface Version {
  readonly key: string;
  readonly version: number;
}

const key = fc.constantFrom("a", "a", "a", "b");
const process = fc.nat(1);
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("get" as const), process, key }) },
  // All that is on its way arrives, and with `loads` what loads is done: what comes next meets caches at rest.
  { weight: 9, arbitrary: fc.record({ kind: fc.constant("rest" as const), loads: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("refresh" as const), process, key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("put" as const), process, key }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      process,
      key,
      by: fc.constantFrom("key", "tag", "set", "clear", "shared tag"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("finish" as const), index: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), index: fc.nat(5) }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("deliver" as const), process, index: fc.nat(5) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("deliver all" as const), process }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), process, index: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1, 10, 60, 300) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), process }) },
);
const options = fc.record({
  coherence: fc.constantFrom(0, 20, 200),
  staleWhileRevalidate: fc.constantFrom(0, 500),
  staleIfError: fc.constantFrom(0, 1_000),
  refreshAhead: fc.constantFrom(undefined, 0.2, { beta: 1 }),
});
const plans = fc.array(step, { minLength: 15, maxLength: 70, size: "max" });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Given = typeof options extends fc.Arbitrary<infer T> ? T : never;

/** Two processes with a cache each, a source, and what has been acknowledged so far. */
async function run(plan: readonly Step[], given: Given, seed: number): Promise<readonly string[]> {
  const clock = manualClock();
  const store = memoryCacheStore({ clock });
  const random = seededRandom(seed);
  const source = new Map([
    ["a", 1],
    ["b", 1],
  ]);
  /** Loads and writes under way: each reads the source when it begins, or changes it when it ends. */
  const pending: { readonly end: () => void; readonly fail: () => void }[] = [];
  const problems: string[] = [];
  /** From when on which process has to see what. */
  const acknowledged: {
    readonly key: string;
    readonly version: number;
    readonly at: number;
    readonly by: object;
  }[] = [];
  let newest = 1;
  /** When each version has come into the source. */
  const turns = new Map([[1, 0]]);
  const turnOf = (version: number): number => turns.get(version)!;
  const change = (name: string, version: number): void => {
    turns.set(version, turns.size);
    source.set(name, version);
  };

  const wires: Wire[] = [];
  const isBeingSet = (name: string): boolean => wires.some(({ setsUnderWay }) => setsUnderWay.includes(name));
  /** Writes in which a set came: either may come last. */
  const overlapped = new Set<number>();
  const start = () => {
    const wire = new Wire(clock, 100);
    wires.push(wire);
    const cache: Cache<string, Version> = createCache<string, Version>({
      clock,
      random,
      ttl: 100,
      hardDeadline: 2_000,
      ...Object.fromEntries(Object.entries(given).filter(([name]) => name !== "coherence")),
      share: sharedTier({ store: wire.store(store), coherence: given.coherence, lease: 50 }),
      tags: ({ key: name }) => [name, "shared"],
      load: (name) => {
        const seen = { key: name, version: source.get(name)! };
        return new Promise((resolve, reject) =>
          pending.push({ end: () => resolve(seen), fail: () => reject(new Error("down")) }),
        );
      },
      write: (name, { version }) =>
        new Promise<void>((resolve, reject) => {
          const happen = (): void => {
            change(name, version);
            if (isBeingSet(name)) overlapped.add(version);
          };
          pending.push({
            end: () => (happen(), resolve()),
            // Its answer is lost, not the write.
            fail: () => (happen(), reject(new Error("lost"))),
          });
        }),
    });
    return { wire, cache };
  };
  const processes = [start(), start()];

  const leastFor = (name: string, reader: object): number =>
    Math.max(
      0,
      ...acknowledged
        .filter(
          ({ key: of, at, by }) =>
            of === name && (by === reader || clock.monotonic() >= at + given.coherence),
        )
        .map(({ version }) => turnOf(version)),
    );
  const watch = (name: string, reader: object, what: string, read: Promise<Version | undefined>): void => {
    const least = leastFor(name, reader);
    const begun = clock.monotonic();
    void read.then(
      (value) => {
        if (value === undefined || value.key !== name || turnOf(value.version) < least)
          problems.push(
            `${what} ${name} begun at ${begun}: version ${value?.version} instead of one of turn ${least} or later`,
          );
      },
      () => {},
    );
  };
  /** The source was changed before it was called. Of a set and an invalidation that overlap, either may come last. */
  const claim = (all: readonly string[], by: object, change: () => Promise<void>): void => {
    const names = all.filter((name) => !isBeingSet(name));
    const versions = names.map((name) => ({ key: name, version: source.get(name)! }));
    change().then(
      () => acknowledged.push(...versions.map((one) => ({ ...one, at: clock.monotonic(), by }))),
      () => {},
    );
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 12; turn += 1) await Promise.resolve();
  };

  for (const one of plan) {
    const chosen = "process" in one ? processes[one.process]! : processes[0]!;
    const { cache, wire } = chosen;
    switch (one.kind) {
      case "get":
        watch(one.key, cache, `process ${one.process} get`, cache.get(one.key));
        break;
      case "refresh":
        watch(one.key, cache, `process ${one.process} refresh`, cache.refresh(one.key));
        break;
      case "put": {
        newest += 1;
        const version = newest;
        cache.put(one.key, { key: one.key, version }).then(
          () => {
            if (!overlapped.has(version))
              acknowledged.push({ key: one.key, version, at: clock.monotonic(), by: cache });
          },
          () => {},
        );
        break;
      }
      case "change":
        newest += 1;
        change(one.key, newest);
        if (one.by === "key") claim([one.key], cache, () => cache.invalidate(one.key));
        else if (one.by === "tag") claim([one.key], cache, () => cache.invalidateTag(one.key));
        else if (one.by === "set")
          claim([one.key], cache, () => cache.set(one.key, { key: one.key, version: newest }));
        else if (one.by === "clear") claim([...source.keys()], cache, () => cache.clear());
        else claim([...source.keys()], cache, () => cache.invalidateTag("shared"));
        break;
      case "finish":
      case "fail": {
        const [work] = pending.splice(one.index % Math.max(1, pending.length), 1);
        if (one.kind === "finish") work?.end();
        else work?.fail();
        break;
      }
      case "deliver":
      case "lose": {
        const [message] = wire.messages.splice(one.index % Math.max(1, wire.messages.length), 1);
        if (one.kind === "deliver") message?.deliver();
        else message?.lose?.();
        break;
      }
      case "deliver all":
        for (const message of wire.messages.splice(0)) message.deliver();
        break;
      case "rest":
        for (let round = 0; round < 5; round += 1) {
          for (const { wire: each } of processes)
            for (const message of each.messages.splice(0)) message.deliver();
          if (one.loads) for (const work of pending.splice(0)) work.end();
          await settle();
        }
        break;
      case "pass":
        await clock.advance(one.ms);
        break;
      case "crash":
        wire.cut();
        void cache.close();
        processes[one.process] = start();
        break;
    }
    await settle();
  }
  // Everything ends: what is on its way arrives, what loads is done.
  for (const { wire } of processes) wire.open();
  for (let round = 0; round < 5; round += 1) {
    for (const work of pending.splice(0)) work.end();
    await clock.advance(1_000);
  }
  for (const { cache } of processes) {
    const { loading, share } = cache.snapshot();
    if (loading > 0 || share!.owed > 0) problems.push(`left: ${JSON.stringify({ loading, share })}`);
    void cache.close();
  }
  await clock.advance(1_000);
  if (clock.pendingTimers > 0) problems.push(`${clock.pendingTimers} timers left`);
  return problems;
}

describe("a cache that several processes share", () => {
  it("gives nobody what was loaded before an acknowledged invalidation, whatever is delayed, lost or killed", async () => {
    await fc.assert(
      fc.asyncProperty(plans, options, fc.integer(), async (plan, given, seed) => {
        expect(await run(plan, given, seed)).toEqual([]);
      }),
      { numRuns: 700 },
    );
  });
});
