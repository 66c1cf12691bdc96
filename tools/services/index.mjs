// Real servers for tests: private ones to break, places of one's own in the shared ones, and a faulty network.
export { freshDatabase, freshKeys } from "./fresh.mjs";
export { startPostgres } from "./postgres.mjs";
export { startProxy } from "./proxy.mjs";
export { startRedis } from "./redis.mjs";
export { startRedisCluster } from "./redis-cluster.mjs";
export { startReplicatedRedis } from "./redis-sentinel.mjs";
