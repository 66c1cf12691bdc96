// Uses @holdfast/cache from an ES module.
import { createCache } from "@holdfast/cache";
import assert from "node:assert/strict";

let asked = 0;
const cache = createCache({ load: async (id) => `${String(id)}:${(asked += 1)}`, tags: (value) => [value] });
assert.deepEqual(await Promise.all([cache.get("a"), cache.get("a")]), ["a:1", "a:1"]);
cache.invalidateTag("a:1");
assert.equal(await cache.get("a"), "a:2");
