// Suite `ratelimit`: what a decision costs in memory, on Redis exactly, and on Redis leased; and what it costs besides time.
import { Redis } from "ioredis";
import { RateLimiter } from "limiter";
import { RateLimiterMemory, RateLimiterRedis } from "rate-limiter-flexible";
import { REDIS_CLIENT_OPTIONS } from "../../packages/core/dist/redis.js";
import {
  fixedWindow,
  leasedStore,
  memoryRateLimitStore,
  rateLimiter,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../packages/ratelimit/dist/index.js";
import { redisRateLimitStore } from "../../packages/ratelimit/dist/redis.js";
import { startRedis } from "../../tools/services/index.mjs";
import { byCallers } from "../lib/callers.mjs";
import { collectGarbage } from "../lib/garbage.mjs";

const KEYS = 10_000;
const keys = Array.from({ length: KEYS }, (_, index) => `user:${index}`);
let turn = 0;
/** Keys in an order that no cache knows. */
const nextKey = () => keys[(turn = (turn + 7_919) % KEYS)];

// A process has one server of its own for this, which ends with it.
const server = await startRedis();
process.once("exit", () => void server.stop());
const connect = async () => {
  const client = new Redis(server.url, REDIS_CLIENT_OPTIONS);
  await new Promise((resolve) => client.once("ready", resolve));
  return client;
};
const client = await connect();

/** Never reached here, and never full again: every take is decided, allowed and counted. */
const large = (make = tokenBucket) =>
  make === tokenBucket
    ? tokenBucket({ capacity: 1_000_000, refill: 1, per: "1s" })
    : make({ limit: 10_000, window: "1h" });

const memory = rateLimiter({ limits: large() });
const shared = (store, name = "bench") =>
  rateLimiter({ name, store, onStoreError: "closed", limits: large() });
const exact = shared(redisRateLimitStore({ client, prefix: "ours:" }));
const leased = shared(leasedStore({ store: redisRateLimitStore({ client, prefix: "leased:" }) }));

const flexible = new RateLimiterMemory({ points: 1_000_000, duration: 3_600 });
const flexibleRedis = new RateLimiterRedis({
  storeClient: await connect(),
  points: 1_000_000,
  duration: 3_600,
  keyPrefix: "rlf",
});
const limiterOne = new RateLimiter({ tokensPerInterval: 1_000_000_000, interval: "hour" });

const onRedis = (name, callers, ours, minRatio) => ({
  name,
  measure: byCallers(callers),
  ours: () => ours.take(nextKey()),
  peers: { "rate-limiter-flexible": () => flexibleRedis.consume(nextKey()) },
  target: { minRatio: { "rate-limiter-flexible": minRatio } },
});

const RLF = "rate-limiter-flexible, awaited";

export const rows = [
  {
    // Each as it is used: what answers at once is not awaited.
    name: "in memory, 10,000 keys, tryTake",
    sync: ["ours", "limiter, one key", "Date.now, for comparison"],
    ours: () => memory.tryTake(nextKey()),
    peers: {
      [RLF]: () => flexible.consume(nextKey()),
      "limiter, one key": () => limiterOne.tryRemoveTokens(1),
      "Date.now, for comparison": () => Date.now(),
    },
    target: { maxNs: 80, minRatio: { [RLF]: 3 } },
  },
  {
    name: "in memory, 10,000 keys, take awaited",
    ours: () => memory.take(nextKey()),
    peers: { [RLF]: () => flexible.consume(nextKey()) },
    target: { minRatio: { [RLF]: 1.7 } },
  },
  onRedis("on Redis, exact, 1 caller", 1, exact, 1),
  onRedis("on Redis, exact, 50 callers", 50, exact, 2),
  onRedis("on Redis, exact, 500 callers", 500, exact, 2),
  {
    ...onRedis("on Redis, leased, 50 callers, one key", 50, leased, 20),
    ours: () => leased.take("tenant"),
    peers: { "rate-limiter-flexible": () => flexibleRedis.consume("tenant") },
  },
  {
    name: "round trips to Redis for 1,000 decisions, 50 callers",
    unit: "",
    measure: roundTrips,
    ours: () => exact.take(nextKey()),
    peers: {
      "ours, leased": () => leased.take("tenant"),
      "rate-limiter-flexible": () => flexibleRedis.consume(nextKey()),
    },
  },
  {
    name: "bytes in Redis for each key, of which name and overhead of Redis",
    unit: "B",
    measure: bytesPerKey,
  },
  { name: "bytes of heap for each key in memory", unit: "B", measure: heapPerKey },
  {
    name: "let through in 2 s by 4 limiters, leased, of 1,000 and 1,000 a second (bound 4,000, exact 3,000)",
    unit: "",
    measure: overshoot,
  },
  // Last, since a log fills the heap, and whatever came after it would pay for that.
  memoryRow("sliding window", slidingWindow),
  memoryRow("fixed window", fixedWindow),
  memoryRow("sliding log", slidingLog),
];

function memoryRow(name, make) {
  const limiter = rateLimiter({ limits: large(make) });
  return {
    name: `in memory, ${name}, tryTake`,
    sync: true,
    ours: () => limiter.tryTake(nextKey()),
    peers: {},
  };
}

async function roundTrips({ ours, peers }) {
  const values = {};
  for (const [name, operation] of Object.entries({ ours, ...peers })) {
    await operation();
    await client.config("RESETSTAT");
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (let call = 0; call < 200; call += 1) await operation();
      }),
    );
    const stats = await client.info("commandstats");
    // Commands that came from outside: those that scripts run do not count.
    const outside = [...stats.matchAll(/^cmdstat_(evalsha|eval|multi|incrby|set|pttl):calls=(\d+)/gm)];
    const scripts = outside.filter(([, command]) => command.startsWith("eval"));
    const counted = scripts.length > 0 ? scripts : outside;
    values[name] = counted.reduce((sum, [, , calls]) => sum + Number(calls), 0) / 10;
  }
  return values;
}

async function bytesPerKey() {
  const bytes = async (pattern) => {
    const [key] = await client.keys(pattern);
    return client.memory("USAGE", key);
  };
  await client.set("empty:holdfast:ratelimit:{12}bench", "", "PX", 60_000);
  return {
    ours: await bytes("ours:*user:42"),
    "an empty string with such a name": await bytes("empty:*"),
    "rate-limiter-flexible": await bytes("rlf:user:42"),
  };
}

async function heapPerKey() {
  const measured = async (fill) => {
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    const kept = await fill();
    collectGarbage();
    const after = process.memoryUsage().heapUsed;
    return kept === undefined ? 0 : (after - before) / 100_000;
  };
  const names = Array.from({ length: 100_000 }, (_, index) => `heap:${index}`);
  return {
    ours: await measured(async () => {
      const limiter = rateLimiter({ limits: large(), store: memoryRateLimitStore({ maxKeys: 200_000 }) });
      for (const name of names) limiter.tryTake(name);
      return limiter;
    }),
    "rate-limiter-flexible": await measured(async () => {
      const limiter = new RateLimiterMemory({ points: 1_000_000, duration: 3_600 });
      for (const name of names) await limiter.consume(name);
      return limiter;
    }),
  };
}

/** Four limiters, as in four processes, that ask as fast as they can for two seconds. */
async function overshoot() {
  const run = async (make) => {
    const name = `overshoot-${Math.random().toString(36).slice(2)}`;
    const limits = tokenBucket({ capacity: 1_000, refill: 1_000, per: "1s" });
    const limiters = Array.from({ length: 4 }, () =>
      rateLimiter({ name, limits, store: make(), onStoreError: "closed" }),
    );
    let taken = 0;
    const until = performance.now() + 2_000;
    await Promise.all(
      limiters.map(async (limiter) => {
        while (performance.now() < until) {
          if ((await limiter.take("tenant")).allowed) taken += 1;
          else await new Promise((resolve) => setImmediate(resolve));
        }
      }),
    );
    return taken;
  };
  const store = () => redisRateLimitStore({ client, prefix: "overshoot:" });
  return { ours: await run(() => leasedStore({ store: store() })), "ours, exact": await run(store) };
}
