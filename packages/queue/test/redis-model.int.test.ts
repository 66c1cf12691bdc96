import { redisTaskStore } from "@holdfast/queue/redis";
import fc from "fast-check";
import { describe, expect, inject, it } from "vitest";
import { followsReference } from "./follows-reference.ts";
import { longWay } from "./support/redis-long-way.ts";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("any history of a queue in Redis", () => {
  const places = redisPlaces(redisUrl);

  function goesAsInReference(breakIt: (lua: string) => string = (lua) => lua) {
    return followsReference(() => {
      const { client, clock, prefix, advance, close } = places.open(breakIt);
      return { store: redisTaskStore({ client, clock, prefix }), advance, end: close };
    });
  }

  it("goes as in the reference", { timeout: 300_000 }, async () => {
    await fc.assert(goesAsInReference(), { numRuns: 100 });
  });

  it("goes so the long way too", { timeout: 300_000 }, async () => {
    await fc.assert(goesAsInReference(longWay), { numRuns: 50 });
  });

  it("goes so with large inputs and results too", { timeout: 300_000 }, async () => {
    const tight = (lua: string): string =>
      longWay(lua).replace("#body <= 1024", "#body <= 2").replace("#result > 1024", "#result > 2");
    await fc.assert(goesAsInReference(tight), { numRuns: 50 });
  });

  // Each takes one guard out of the script, as it is sent.
  const mutants: Readonly<Record<string, readonly [guard: string, broken: string]>> = {
    "does not compare fences": ["t[7] == its_fence and now < t[8]", "now < t[8]"],
    "lets things happen a millisecond late": [
      "'-inf', whole(now), 'WITHSCORES'",
      "'-inf', whole(now - 1), 'WITHSCORES'",
    ],
    "takes no counter for fences": ["fence = fence + 1", "fence = 1"],
    "does not free dedup keys": ["call('HGET', KEYS[17], fields[4]) == id then", "false then"],
    "does not wait for a group's turn": ["if may_run(id, t) then offer(id, t) end", "offer(id, t)"],
    "miscounts what is forgotten": ["counts[t[1]] = counts[t[1]] - 1\n  if t[1]", "if t[1]"],
  };
  it.each(Object.entries(mutants))(
    "finds out a script that %s",
    { timeout: 300_000 },
    async (_, [guard, broken]) => {
      const breakIt = (lua: string): string => {
        if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
        return longWay(lua).replace(guard, broken);
      };
      const found = await fc.check(goesAsInReference(breakIt), { numRuns: 400, seed: 1, endOnFailure: true });
      expect(found.failed).toBe(true);
    },
  );
});
