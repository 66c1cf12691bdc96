// Whatever the order in which loads, writes and invalidations begin and end: no read that begins after an invalidation was
// over is given a value from before it.
import { manualClock, seededRandom } from "@holdfast/core/testing";
import { createCache } from "@holdfast/cache";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawsRefresh } from "../src/memory/entry.ts";

interface Version {
  readonly key: string;
  readonly version: number;
}

const key = fc.constantFrom("a", "b");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("get" as const), key }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("finish" as const), index: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), index: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      key,
      by: fc.constantFrom("key", "tag", "shared tag", "clear", "set"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("put" as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("refresh" as const), key }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.constantFrom(1, 50, 100, 400, 1_000) }),
  },
);

const options = fc.record({
  staleWhileRevalidate: fc.constantFrom(0, 200),
  staleIfError: fc.constantFrom(0, 500),
  negativeTtl: fc.constantFrom(0, 100),
  refreshAhead: fc.constantFrom(undefined, 0.5, { beta: 1 }),
  softDeadline: fc.constantFrom(undefined, 20),
  maxIdle: fc.constantFrom(undefined, 300),
});

describe("invalidation", () => {
  it("always wins: what begins after it sees nothing from before it, and what is kept is what the source had", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 60, size: "max" }),
        options,
        fc.integer(),
        async (plan, given, seed) => {
          const clock = manualClock();
          const source = new Map([
            ["a", 1],
            ["b", 1],
          ]);
          /** The oldest version that a read that begins now may be given. */
          const oldest = new Map(source);
          /** Loads and writes under way: each read or changes the source in the middle, and ends when it is told to. */
          const pending: { readonly end: () => void; readonly fail: () => void }[] = [];
          const cache = createCache<string, Version>({
            clock,
            random: seededRandom(seed),
            ttl: 100,
            hardDeadline: 5_000,
            ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
            tags: ({ key: name }) => [name, "shared"],
            load: (name) => {
              // Read at once, and on the way back for a while.
              const seen = { key: name, version: source.get(name)! };
              return new Promise((resolve, reject) =>
                pending.push({ end: () => resolve(seen), fail: () => reject(new Error("down")) }),
              );
            },
            write: (name, { version }) =>
              new Promise<void>((resolve, reject) =>
                pending.push({
                  end: () => {
                    source.set(name, Math.max(version, source.get(name)!));
                    resolve();
                  },
                  fail: () => {
                    // Its answer is lost, not the write.
                    source.set(name, Math.max(version, source.get(name)!));
                    reject(new Error("lost"));
                  },
                }),
              ),
          });
          let newest = 1;
          const problems: string[] = [];
          const watch = (name: string, read: Promise<Version | undefined>): void => {
            const least = oldest.get(name)!;
            void read.then(
              (value) => {
                if (value === undefined || value.key !== name || value.version < least)
                  problems.push(`${name}: ${value?.version} instead of ${least} or later`);
              },
              () => {},
            );
          };
          const invalidated = (name: string): void => void oldest.set(name, source.get(name)!);
          for (const one of plan) {
            if (one.kind === "get") watch(one.key, cache.get(one.key));
            else if (one.kind === "refresh") watch(one.key, cache.refresh(one.key));
            else if (one.kind === "finish" || one.kind === "fail") {
              const [work] = pending.splice(one.index % Math.max(1, pending.length), 1);
              if (one.kind === "finish") work?.end();
              else work?.fail();
              await clock.advance(0);
            } else if (one.kind === "pass") await clock.advance(one.ms);
            else if (one.kind === "put") {
              newest += 1;
              const version = newest;
              void cache.put(one.key, { key: one.key, version }).then(
                () => {
                  oldest.set(one.key, Math.max(oldest.get(one.key)!, version));
                },
                () => {},
              );
            } else {
              // The source changes, then it is said: everything from before is too old from here on.
              newest += 1;
              source.set(one.key, newest);
              if (one.by === "key") void cache.invalidate(one.key);
              else if (one.by === "tag") void cache.invalidateTag(one.key);
              else if (one.by === "set") void cache.set(one.key, { key: one.key, version: newest });
              else if (one.by === "clear") void cache.clear();
              else void cache.invalidateTag("shared");
              invalidated(one.key);
              if (one.by === "clear" || one.by === "shared tag")
                for (const name of source.keys()) invalidated(name);
            }
            await Promise.resolve();
          }
          for (const work of pending.splice(0)) work.end();
          await clock.advance("10m");
          for (const work of pending.splice(0)) work.end();
          await clock.advance(0);
          expect(problems).toEqual([]);
          expect(cache.snapshot().loading).toBe(0);
          await cache.close();
          expect(clock.pendingTimers).toBe(0);
        },
      ),
      { numRuns: 1_500 },
    );
  });
});

describe("early refresh", () => {
  it("is drawn with the chance of its formula: e^(−left ÷ (beta · load))", () => {
    const random = seededRandom(7);
    for (const [left, load, beta] of [
      [100, 100, 1],
      [300, 100, 1],
      [50, 20, 2],
      [10, 500, 0.5],
    ] as const) {
      const draws = 200_000;
      let renewed = 0;
      for (let draw = 0; draw < draws; draw += 1) if (drawsRefresh(left, load, beta, random())) renewed += 1;
      expect(renewed / draws).toBeCloseTo(Math.exp(-left / (beta * load)), 2);
    }
    expect(drawsRefresh(0, 100, 1, 0.5)).toBe(true);
    expect(drawsRefresh(1, 0, 1, 0.999)).toBe(false);
  });
});
