import { redisTaskStore } from "@holdfast/queue/redis";
import type { QueueModelSubject } from "@holdfast/queue/testing";
import { QueueModelError, queueStoreModel } from "@holdfast/queue/testing";
import { describe, expect, inject, it } from "vitest";
import { longWay } from "./support/redis-long-way.ts";
import type { RedisPlace } from "./support/redis-places.ts";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("any history of a queue in Redis", () => {
  const places = redisPlaces(redisUrl);

  function subject(breakIt: (lua: string) => string = (lua) => lua): QueueModelSubject {
    let place: RedisPlace;
    return {
      make: () => {
        place = places.open(breakIt);
        const { client, clock, prefix } = place;
        return redisTaskStore({ client, clock, prefix });
      },
      advance: (ms) => place.advance(ms),
      end: () => place.close(),
    };
  }

  it("goes as in the reference, where I1 to I10, I12 and I14 hold", { timeout: 300_000 }, async () => {
    await queueStoreModel(subject(), { histories: 100 });
  });

  it("goes so the long way too", { timeout: 300_000 }, async () => {
    await queueStoreModel(subject(longWay), { histories: 50 });
  });

  it("goes so with large inputs and results too", { timeout: 300_000 }, async () => {
    const tight = (lua: string): string =>
      longWay(lua).replace("#body <= 1024", "#body <= 2").replace("#result > 1024", "#result > 2");
    await queueStoreModel(subject(tight), { histories: 50 });
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
      const judged = queueStoreModel(subject(breakIt), { histories: 400, seed: 1, shrink: false });
      await expect(judged).rejects.toThrow(QueueModelError);
    },
  );
});
