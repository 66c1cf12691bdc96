// The suite is only as good as the faults it finds: each of these takes one guard out of the script of the Redis store,
// where all goes the long way. What goes the quick way is held against that: see redis-quick.int.test.ts.
import { redisTaskStore } from "@holdfast/queue/redis";
import { queueStoreConformance } from "@holdfast/queue/testing";
import { describe, expect, inject, it } from "vitest";
import { longWay } from "./support/redis-long-way.ts";
import type { RedisPlace } from "./support/redis-places.ts";
import { redisPlaces } from "./support/redis-places.ts";

const redisUrl = inject("redisUrl");

describe.skipIf(redisUrl === "")("the suite, on a Redis store that", () => {
  const places = redisPlaces(redisUrl);

  /** Titles of the clauses that fail, of those whose title begins so. */
  async function brokenClauses(change: (lua: string) => string, titled: string): Promise<readonly string[]> {
    const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
    let timed: RedisPlace;
    const make = () => {
      const { client, clock, prefix } = (timed = places.open(change));
      return redisTaskStore({ client, clock, prefix });
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
      "if fresh > 0 and before + fresh > limit",
      "if fresh > 0 and before > limit",
      "adds all or none",
    ],
    "forgets whose turn it is in a group": [
      "if place < limit[1] then offer_some",
      "if false then offer_some",
      "lets the next one run when the first completes",
    ],
    "forgets that a task expires that found no token": [
      "if expires and expires <= now then",
      "if expires then call('ZREM', KEYS[12], 't' .. id) end\n  if expires and expires <= now then",
      "lets a task expire too that could not be claimed",
    ],
    "lets a task expire a millisecond late": [
      "whole(at(now + said.e)), 't' .. id",
      "whole(at(now + said.e + 1)), 't' .. id",
      "cancels a task that was not started in time",
    ],
    "records a checkpoint again": [
      "if part(field) then return false end",
      "",
      "leaves a checkpoint as it is that is there",
    ],
    "does not tell a task that waits": [
      "unless_it_waits(id, t, now)\n  return 3",
      "return 3",
      "lets a task wait for an event",
    ],
    "lets a task wait for what has happened": [
      "or 4503599627370496)\n  unless_it_waits(id, t, now)",
      "or 4503599627370496)",
      "goes on at once when it has been told already",
    ],
    "does not count children that end": [
      "rest_of(parent)[11] - 1",
      "rest_of(parent)[11]",
      "begins as one that waits, until its last child has ended",
    ],
    "counts a redriven child that ends again": [
      "set_rest(t, 10, nil)",
      "",
      "does not wait for a child again that was redriven",
    ],
    "takes a task for the parent that had its ID before": [
      "or born(parent) ~= fields[9]",
      "",
      "keeps a second life of a parent's ID apart",
    ],
    "leaves the children of a cancelled task": [
      "for _, child in ipairs(children) do doomed[#doomed + 1] = child end",
      "",
      "cancels the live children of a task",
    ],
    "lets one more of a group run": [
      "member_of(prefix, t[15], id)) < limit[1]",
      "member_of(prefix, t[15], id)) <= limit[1]",
      "lets as many tasks of a group run",
    ],
    "takes no tokens": [
      "if taken then limit[4] = limit[4] + limit[3] end",
      "",
      "starts as many tasks of a group as its bucket holds",
    ],
    "forgets what is owed when a rate changes": [
      "math.min(math.ceil(limit[4] / limit[3] * per), rate * per)",
      "0",
      "carries over what was started when a rate changes",
    ],
    "forgets a bucket that is not full": [
      "if limit[4] == 0 then return forget_limit(name) end",
      "if true then return forget_limit(name) end",
      "remembers an empty bucket when no task",
    ],
    "remembers groups for ever": [
      "limits[name] = nil\n  call('HDEL', KEYS[16], name)",
      "",
      "forgets a group that has no task and a full bucket",
    ],
    "forgets the next turn of tenants": [
      "call('ZADD', KEYS[15], whole(rank + math.min(turn + cost, 4398046511103)), member)",
      "",
      "lets tenants take turns",
    ],
    "lets tenants save up turns": [
      "if turn > its_flow[1] then its_flow[1], its_flow[3] = turn, true end",
      "",
      "lets a newcomer begin where the others are",
    ],
    "remembers turns when no task is live": [
      "if has_flows == 1 then call('DEL', KEYS[15]) end\n  has_flows = 0",
      "",
      "forgets turns when no task is live",
    ],
    "fires a schedule that is another one by now": [
      "if call('HGET', KEYS[18], key) ~= at_text .. ' ' .. text then",
      "if not call('HGET', KEYS[18], key) then",
      "changes nothing when the schedule is another one by now",
    ],
    "moves a schedule on though the queue is full": [
      "type(answer) == 'table' and answer[1] == -1",
      "false",
      "changes nothing when the queue is full",
    ],
    "hands out tasks of a paused queue": [
      "is_paused == 1 or counts[3] == 0",
      "counts[3] == 0",
      "claims nothing while a queue is paused",
    ],
    "does not wake workers when a queue goes on": [
      "call('ZCARD', KEYS[4]) > 0 then news.has_work = true end",
      "false then news.has_work = true end",
      "wakes who waits for work when a paused queue goes on",
    ],
    "does not count how long tasks waited": [
      "counts[14] = counts[14] + now - since",
      "",
      "adds up how long tasks waited",
    ],
    "lists no ready tasks that are held back": [
      "if #ids < max then add_held_back(ids, max) end",
      "",
      "lists tasks by state",
    ],
    "keeps the input of none": ["short(bodies[index])", "short('')", "gives workers inputs"],
  };
  it.each(Object.entries(mutants))("%s, fails", { timeout: 120_000 }, async (_, [guard, broken, clause]) => {
    const change = (lua: string): string => {
      if (lua.includes("ZPOPMIN")) expect(lua).toContain(guard);
      return longWay(lua).replace(guard, broken);
    };
    expect(await brokenClauses((lua) => lua, clause)).toEqual([]);
    expect(await brokenClauses(change, clause)).not.toEqual([]);
  });
});
