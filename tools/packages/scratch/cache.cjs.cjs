// Uses @holdfast/cache from CommonJS, which Node ≥ 20.19 allows.
const assert = require("node:assert/strict");
const { createCache, memoryCacheStore, sharedTier } = require("@holdfast/cache");
const { redisCacheStore } = require("@holdfast/cache/redis");
const { cacheStoreConformance } = require("@holdfast/cache/testing");

const store = memoryCacheStore();
const share = sharedTier({ store, coherence: 0 });
const [one, two] = [createCache({ share }), createCache({ share })];
async function main() {
  await one.set("a", 1);
  assert.equal(await two.get("a"), 1);
  await one.close();
  await two.close();
}
void main();
assert.throws(() => redisCacheStore({ client: {} }), { code: "INVALID_OPTION" });
assert.equal(typeof cacheStoreConformance, "function");
assert.equal(typeof require("@holdfast/cache/http").httpCache, "function");
