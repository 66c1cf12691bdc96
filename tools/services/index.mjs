// For tests: real servers, private ones to break, places of one's own in the shared ones, programs to kill, a faulty network.
export { AskedProcess } from "./asked-process.mjs";
export { freshDatabase, freshKeys } from "./fresh.mjs";
export { startPgBouncer } from "./pgbouncer.mjs";
export { startPostgres } from "./postgres.mjs";
export { startProxy } from "./proxy.mjs";
export { startRedis } from "./redis.mjs";
export { startRedisCluster } from "./redis-cluster.mjs";
export { startReplicatedRedis } from "./redis-sentinel.mjs";
export { canMountDisks } from "./small-disk.mjs";
