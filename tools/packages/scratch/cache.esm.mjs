// Uses @holdfast/cache from an ES module.
import { createCache } from "@holdfast/cache";
import { httpCache } from "@holdfast/cache/http";
import { withMiddleware } from "@holdfast/core";
import assert from "node:assert/strict";

let asked = 0;
const cache = createCache({ load: async (id) => `${String(id)}:${(asked += 1)}`, tags: (value) => [value] });
assert.deepEqual(await Promise.all([cache.get("a"), cache.get("a")]), ["a:1", "a:1"]);
cache.invalidateTag("a:1");
assert.equal(await cache.get("a"), "a:2");

let answers = 0;
const responses = httpCache();
const handler = withMiddleware(
  () => new Response(String((answers += 1)), { headers: { "cache-control": "max-age=60" } }),
  responses.middleware,
);
const answer = async () => (await handler(new Request("http://localhost/"))).text();
assert.deepEqual([await answer(), await answer()], ["1", "1"]);
await responses.close();
