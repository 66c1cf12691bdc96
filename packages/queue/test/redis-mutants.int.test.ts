// The suite is only as good as the faults it finds: each of these takes one guard out of the script of the Redis store.
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { freshKeys } from "../../../tools/services/index.mjs";
import type { RedisOnAClock } from "./support/redis-on-a-clock.ts";
import { redisOnAClock } from "./support/redis-on-a-clock.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("the suite, on a Redis store that", () => {
  const keys = freshKeys(redisUrl);
  let redis: Redis;
  let made = 0;
  beforeAll(async () => {
    redis = new Redis(redisUrl, REDIS_CLIENT_OPTIONS);
    await new Promise((resolve) => redis.once("ready", resolve));
  });
  afterAll(async () => {
    redis.disconnect();
    await keys.drop();
  });

  /** Titles of the clauses that fail, of those whose title begins so. */
  async function brokenClauses(change: (lua: string) => string, titled: string): Promise<readonly string[]> {
    const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
    let timed: RedisOnAClock;
    const make = () => {
      timed = redisOnAClock(redis, change);
      made += 1;
      const prefix = `${keys.prefix}${made}:`;
      return redisTaskStore({ client: timed.client, clock: timed.clock, prefix });
    };
    queueStoreConformance(
      {
        describe: (_, body) => body(),
        it: (title, body) => void (title.startsWith(titled) && tests.push({ title, body })),
      },
      { make, advance: (ms) => timed.advance(ms) },
    );
    const failed: string[] = [];
    for (const { title, body } of tests) {
      try {
        await body();
      } catch {
        failed.push(title);
      }
      timed!.close();
    }
    return failed;
  }

  const mutants: Readonly<Record<string, readonly [guard: string, broken: string, clause: string]>> = {
    "does not compare fences of plain completions": [
      "known_fence ~= its_fence or now >= due",
      "now >= due",
      "refuses a worker that slept through failure and redrive",
    ],
    "does not compare fences": [
      "t[7] == its_fence and now < t[8]",
      "now < t[8]",
      "refuses every write of a worker whose lease has ended",
    ],
    "starts its fences anew": ["fence = fence + 1", "fence = 1", "gives each lease on a task a higher fence"],
    "looks for what is due too late": ["now >= next_due", "now > next_due", "ends a lease at its very end"],
    "does not tell those who wait of something sooner": [
      "soonest < told",
      "false",
      "wakes who waits already",
    ],
    "does not wake those who wait for work": [
      "news.has_work and is_watched",
      "false",
      "wakes who waits for work whenever there is some again",
    ],
    "does not remember what was taken from a worker": [
      "call('HSET', KEYS[19], worker, cjson.encode(leases))",
      "",
      "tells the worker that ran it",
    ],
    "adds before it counts": [
      "if fresh > 0 and alive + fresh > limit",
      "if fresh > 0 and alive > limit",
      "adds all or none",
    ],
    "forgets whose turn it is in a group": [
      "if place < limit[1] then offer_some",
      "if false then offer_some",
      "lets the next one run when the first completes",
    ],
    "keeps the input of none": ["short(task[2])", "short('')", "gives workers inputs"],
  };
  it.each(Object.entries(mutants))("%s, fails", { timeout: 120_000 }, async (_, [guard, broken, clause]) => {
    const change = (lua: string): string => {
      if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
      return lua.replace(guard, broken);
    };
    expect(await brokenClauses((lua) => lua, clause)).toEqual([]);
    expect(await brokenClauses(change, clause)).not.toEqual([]);
  });
});
