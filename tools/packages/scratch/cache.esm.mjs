// Uses @holdfast/cache from an ES module.
import { createCache } from "@holdfast/cache";
import { redisCacheStore } from "@holdfast/cache/redis";
import { cacheStoreConformance } from "@holdfast/cache/testing";
import assert from "node:assert/strict";

let asked = 0;
const cache = createCache({ load: async (id) => `${String(id)}:${(asked += 1)}`, tags: (value) => [value] });
assert.deepEqual(await Promise.all([cache.get("a"), cache.get("a")]), ["a:1", "a:1"]);
await cache.invalidateTag("a:1");
assert.equal(await cache.get("a"), "a:2");
assert.throws(() => redisCacheStore({ client: {} }), { code: "INVALID_OPTION" });
assert.equal(typeof cacheStoreConformance, "function");
