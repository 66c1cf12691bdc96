// Uses @holdfast/cache from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { createCache, memoryCacheStore, sharedTier } = require("@holdfast/cache");
const { redisCacheStore } = require("@holdfast/cache/redis");
const { cacheStoreConformance } = require("@holdfast/cache/testing");

const store = memoryCacheStore();
const share = sharedTier({ store, coherence: 0 });
const [one, two] = [createCache({ share }), createCache({ share })];
one
  .set("a", 1)
  .then(() => two.get("a"))
  .then((value) => assert.equal(value, 1))
  .finally(() => Promise.all([one.close(), two.close()]));
assert.throws(() => redisCacheStore({ client: {} }), { code: "INVALID_OPTION" });
assert.equal(typeof cacheStoreConformance, "function");
