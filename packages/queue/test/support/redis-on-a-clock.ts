// A real Redis whose scripts read the time of a manual clock: the same rules and the same commands, to the millisecond.
import type { RedisQueueClient } from "@holdfast/queue/redis";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { Cluster } from "ioredis";

/** What the queue's script begins with asking. */
const SERVER_TIME = "call('TIME')";
const GIVEN_TIME = "{ table.remove(ARGV), table.remove(ARGV) }";
/** Below the deadline of a call: what a timer has sent is answered before the next one fires. */
const STEP_MS = 1_000;
/** In real milliseconds: how long the nodes of a Cluster may take to pass a message on, which no PING tells. */
const BUS_MS = 15;

export interface RedisOnAClock {
  readonly client: RedisQueueClient;
  readonly clock: ManualClock;
  /** Moves the clock on, and waits for all that has been sent to be answered and all wake-ups to arrive. */
  advance(ms: number): Promise<void>;
  close(): void;
}

/** @param change - What is to be different in scripts. */
export function redisOnAClock(
  redis: Redis | Cluster,
  change: (lua: string) => string = (lua) => lua,
): RedisOnAClock {
  const clock = manualClock();
  const pending = new Set<Promise<unknown>>();
  const subscribers: (Redis | Cluster)[] = [];
  const tracked = <T>(sent: Promise<T>): Promise<T> => {
    const done = sent.then(ignore, ignore).finally(() => pending.delete(done));
    pending.add(done);
    return sent;
  };
  const known = new Map<string, string>();
  const client: RedisQueueClient = {
    evalsha: async (sha1, keyCount, ...words) => {
      const lua = known.get(sha1);
      if (lua === undefined)
        throw Object.assign(new Error("NOSCRIPT not known here"), { name: "ReplyError" });
      return client.eval(lua, keyCount, ...words);
    },
    eval: (lua, keyCount, ...words) => {
      if (!lua.includes(SERVER_TIME)) return tracked(redis.eval(lua, keyCount, ...words));
      const now = clock.now();
      // The last is taken first: seconds, then microseconds.
      const time = [String((now % 1_000) * 1_000), String(Math.floor(now / 1_000))];
      const timed = change(lua).replace(SERVER_TIME, GIVEN_TIME);
      return tracked(redis.eval(timed, keyCount, ...words, ...time));
    },
    duplicate: () => {
      const subscriber = redis instanceof Cluster ? redis.duplicate() : redis.duplicate();
      subscribers.push(subscriber);
      const subscribe = subscriber.subscribe.bind(subscriber) as (channel: string) => Promise<unknown>;
      subscriber.subscribe = ((channel: string) => tracked(subscribe(channel))) as never;
      return subscriber;
    },
  };

  /** Answers come before the messages that were published with them: a PING behind each tells that it has arrived. */
  async function settled(): Promise<void> {
    for (let quiet = 0; quiet < 2;) {
      await turn();
      if (pending.size > 0) {
        quiet = 0;
        await Promise.all(pending);
        continue;
      }
      if (redis instanceof Cluster && subscribers.length > 0) await sleep(BUS_MS);
      for (const subscriber of subscribers)
        if (subscriber.status === "connecting" || subscriber.status === "connect")
          await new Promise((resolve) => subscriber.once("ready", resolve));
        else if (subscriber.status === "ready") await subscriber.ping().catch(ignore);
      quiet += pending.size > 0 ? 0 : 1;
    }
  }

  return {
    client,
    clock,
    advance: async (ms) => {
      await settled();
      for (let left = ms; left > 0;) {
        const step = clock.pendingTimers === 0 ? left : Math.min(left, STEP_MS);
        await clock.advance(step);
        await settled();
        left -= step;
      }
      await settled();
    },
    close: () => {
      for (const subscriber of subscribers) subscriber.disconnect();
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function ignore(): void {}
