// Suite `cache`: what a hit costs; and who keeps what was invalidated while it was loaded.
import { createCache as createDedupe } from "async-cache-dedupe";
import { BentoCache, bentostore } from "bentocache";
import { memoryDriver } from "bentocache/drivers/memory";
import { createCache as createManager } from "cache-manager";
import { Cacheable } from "cacheable";
import { LRUCache } from "lru-cache";
import { createCache } from "../../packages/cache/dist/index.js";

const KEYS = 1_000;
const keys = Array.from({ length: KEYS }, (_, index) => `user:${index}`);
let turn = 0;
const nextKey = () => keys[(turn = (turn + 389) % KEYS)];
const load = async (key) => ({ key });
const HOUR_MS = 3_600_000;

const ours = createCache({ load, ttl: "1h" });
const lru = new LRUCache({ max: 10_000, ttl: HOUR_MS, fetchMethod: load });
const dedupe = createDedupe({ ttl: 3_600, storage: { type: "memory" } }).define("fetch", load);
const cacheable = new Cacheable({ ttl: "1h" });
const manager = createManager({ ttl: HOUR_MS });
const bento = new BentoCache({
  default: "memory",
  stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) },
});

const contenders = {
  "lru-cache fetch": (key) => lru.fetch(key),
  "async-cache-dedupe": (key) => dedupe.fetch(key),
  "cache-manager": (key) => manager.wrap(key, () => load(key)),
  cacheable: (key) => cacheable.getOrSet(key, () => load(key)),
  bentocache: (key) => bento.getOrSet({ key, factory: () => load(key), ttl: "1h" }),
};
for (const key of keys) {
  await ours.get(key);
  for (const get of Object.values(contenders)) await get(key);
}

export const rows = [
  {
    name: "hit of 1,000 keys, load-through, in memory",
    ours: () => ours.get(nextKey()),
    peers: Object.fromEntries(Object.entries(contenders).map(([name, get]) => [name, () => get(nextKey())])),
    target: { minRatio: { "lru-cache fetch": 0.8, "async-cache-dedupe": 3, cacheable: 25 } },
  },
  {
    name: "old values that are kept after an invalidation while they were loaded, of 1",
    unit: "",
    measure: keptStale,
  },
];

/** The source changes and the key is invalidated while a load is under way that has seen the old value. */
async function keptStale() {
  const probe = async (get, invalidate) => {
    let value = "old";
    let answer = () => {};
    const slow = () => {
      const seen = value;
      return new Promise((resolve) => (answer = () => resolve(seen)));
    };
    const first = Promise.resolve(get(slow)).catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    const finish = answer;
    value = "new";
    await invalidate();
    finish();
    await first;
    await new Promise((resolve) => setImmediate(resolve));
    const again = Promise.resolve(get(async () => value));
    await new Promise((resolve) => setImmediate(resolve));
    answer();
    return (await again) === "old" ? 1 : 0;
  };
  const [one, two] = [{ load: undefined }, { load: undefined }];
  const mine = createCache({ load: () => one.load() });
  const theirs = new LRUCache({ max: 10, fetchMethod: () => two.load() });
  const three = { load: undefined };
  const deduped = createDedupe({
    ttl: 3_600,
    storage: { type: "memory", options: { invalidation: true } },
  }).define("probe", { references: () => ["probe"] }, () => three.load());
  return {
    ours: await probe(
      (slow) => ((one.load = slow), mine.get("probe")),
      () => mine.invalidate("probe"),
    ),
    "lru-cache fetch": await probe(
      (slow) => ((two.load = slow), theirs.fetch("probe")),
      () => theirs.delete("probe"),
    ),
    "async-cache-dedupe": await probe(
      (slow) => ((three.load = slow), deduped.probe("k")),
      () => deduped.clear("probe", "k"),
    ),
    "cache-manager": await probe(
      (slow) => manager.wrap("probe", slow),
      () => manager.del("probe"),
    ),
    cacheable: await probe(
      (slow) => cacheable.getOrSet("probe", slow),
      () => cacheable.delete("probe"),
    ),
    bentocache: await probe(
      (slow) => bento.getOrSet({ key: "probe", factory: slow, ttl: "1h" }),
      () => bento.delete({ key: "probe" }),
    ),
  };
}
