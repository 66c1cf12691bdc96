// Uses @holdfast/cache from an ES module.
import { createCache, memoryWriteLog, writeBehind } from "@holdfast/cache";
import { fileWriteLog } from "@holdfast/cache/file";
import { postgresWriteLog } from "@holdfast/cache/postgres";
import { redisCacheStore, redisWriteLog } from "@holdfast/cache/redis";
import { cacheStoreConformance, writeLogConformance } from "@holdfast/cache/testing";
import { manualClock } from "@holdfast/core/testing";
import { httpCache } from "@holdfast/cache/http";
import { withMiddleware } from "@holdfast/core";
import assert from "node:assert/strict";

let asked = 0;
const cache = createCache({ load: async (id) => `${String(id)}:${(asked += 1)}`, tags: (value) => [value] });
assert.deepEqual(await Promise.all([cache.get("a"), cache.get("a")]), ["a:1", "a:1"]);
await cache.invalidateTag("a:1");
assert.equal(await cache.get("a"), "a:2");
assert.throws(() => redisCacheStore({ client: {} }), { code: "INVALID_OPTION" });
assert.equal(typeof cacheStoreConformance, "function");

const source = new Map();
const behind = writeBehind({ log: memoryWriteLog(), write: (key, value) => void source.set(key, value) });
const stock = createCache({ load: behind.load, write: behind.write });
await stock.put("book", 5);
assert.equal(await stock.get("book"), 5);
assert.equal(await behind.close(), 0);
assert.equal(source.get("book"), 5);

const log = await fileWriteLog({ path: "stock.log" });
await log.append({ key: "a", value: "1", delayMs: 0, maxKeys: 1 });
await log.close();
assert.equal(typeof redisWriteLog, "function");
assert.equal(typeof postgresWriteLog, "function");

const clauses = [];
const clock = manualClock();
writeLogConformance(
  { describe: (_, body) => body(), it: (_, body) => clauses.push(body) },
  { make: () => memoryWriteLog({ clock }), advance: (ms) => clock.advance(ms) },
);
for (const clause of clauses) await clause();
assert.ok(clauses.length > 30);

let answers = 0;
const responses = httpCache();
const handler = withMiddleware(
  () => new Response(String((answers += 1)), { headers: { "cache-control": "max-age=60" } }),
  responses.middleware,
);
const answer = async () => (await handler(new Request("http://localhost/"))).text();
assert.deepEqual([await answer(), await answer()], ["1", "1"]);
await responses.close();
