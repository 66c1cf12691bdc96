// Uses @holdfast/cache from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { createCache } = require("@holdfast/cache");

const cache = createCache({ ttl: "1m" });
cache.set("a", 1);
assert.equal(cache.peek("a"), 1);

assert.equal(typeof require("@holdfast/cache/http").httpCache, "function");
