// A process that does work under idempotency keys, to be raced or killed. Runs the built package, as a user's would.
// Arguments: redis | postgres, the server's URL, prefix or table, then `race <keys>` or `hang <key>`.
import { idempotency } from "../../dist/index.js";
import { postgresIdempotencyStore } from "../../dist/postgres.js";
import { REDIS_CLIENT_OPTIONS, redisIdempotencyStore } from "../../dist/redis.js";
import { Redis } from "ioredis";
import pg from "pg";

const [kind, url, place, task, argument] = process.argv.slice(2);

/** A store, what counts an effect in the same server, and what lets the process end. */
const SERVERS = {
  redis: () => {
    const client = new Redis(url, REDIS_CLIENT_OPTIONS);
    return {
      store: redisIdempotencyStore({ client, prefix: place }),
      effect: (key) => client.rpush(`${place}effects`, key),
      end: () => client.disconnect(),
    };
  },
  postgres: () => {
    const client = new pg.Pool({ connectionString: url });
    return {
      store: postgresIdempotencyStore({ client, table: place }),
      effect: (key) => client.query("insert into effects values ($1)", [key]),
      end: () => client.end(),
    };
  },
};

const { store, effect, end } = SERVERS[kind]();
const keys = idempotency({ store, scope: "work", lock: task === "hang" ? "1s" : "30s" });

/** Asks until the key is answered, and says whether it was us who did the work. */
async function once(key) {
  for (;;) {
    try {
      const { replayed } = await keys.run({ key }, async () => {
        await effect(key);
        return "done";
      });
      return replayed ? 0 : 1;
    } catch (error) {
      if (error.code !== "IDEMPOTENCY_IN_FLIGHT") throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

if (task === "race") {
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const names = Array.from({ length: Number(argument) }, (_, index) => `key ${index}`);
  const done = await Promise.all(names.map(once));
  console.log(done.reduce((sum, one) => sum + one, 0));
  await end();
} else {
  await keys.run({ key: argument }, async () => {
    await effect(argument);
    console.log("at work");
    await new Promise((resolve) => setTimeout(resolve, 600_000));
  });
}
