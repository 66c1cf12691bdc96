// A process with one shared breaker, told over stdin what to do, to be killed or paused. Runs the built package.
// Arguments: the server's URL, the prefix of its keys. A line of input and its answer are JSON.
import { circuitBreaker, consecutive } from "../../dist/index.js";
import { redisCircuitStore } from "../../dist/redis.js";
import { REDIS_CLIENT_OPTIONS } from "@holdfast/core/redis";
import { Redis } from "ioredis";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [url, prefix] = process.argv.slice(2);
const client = new Redis(url, { ...REDIS_CLIENT_OPTIONS, retryStrategy: () => 20 });
client.on("error", () => {});
const store = redisCircuitStore({ client, prefix, poll: 20, deadline: 200 });

/** Every change of state: `open: tripped`. */
const changes = [];
const breaker = circuitBreaker({
  name: "callee",
  trip: consecutive({ failures: 1 }),
  openFor: 300,
  probeDeadline: 1_500,
  share: { store, timeout: 200 },
  onStateChange: ({ to, reason }) => changes.push(`${to}: ${reason}`),
});

const outcomeOf = (run) =>
  run.then(
    (value) => value,
    (error) => error.code ?? error.message,
  );
const tasks = { succeed: () => "fine", fail: () => Promise.reject(new Error("down")) };

let settle = { succeed: () => {}, fail: () => {} };
let hanging = Promise.resolve();

const commands = {
  call: (how) => outcomeOf(breaker.run(tasks[how])),
  /** Starts a call that ends with `release`. Answers whether it was started, or why not. */
  hang: () =>
    new Promise((answer) => {
      const work = () =>
        new Promise((resolve, reject) => {
          settle = { succeed: () => resolve("late"), fail: () => reject(new Error("down")) };
          answer("started");
        });
      hanging = outcomeOf(breaker.run(work));
      void hanging.then(answer);
    }),
  release: (how) => {
    settle[how]();
    return hanging;
  },
  /** Calls all the time, for so many milliseconds; all calls fail. Answers how many were made, and how many at a time. */
  storm: async (ms) => {
    let made = 0;
    let most = 0;
    const until = performance.now() + ms;
    while (performance.now() < until) {
      const work = async () => {
        made += 1;
        most = Math.max(most, await client.incr(`${prefix}under way`));
        await sleep(20);
        await client.decr(`${prefix}under way`);
        throw new Error("down");
      };
      await Promise.all([outcomeOf(breaker.run(work)), outcomeOf(breaker.run(work)), sleep(3)]);
    }
    return { made, most };
  },
  look: async () => ({ ...breaker.snapshot(), changes: changes.splice(0) }),
  leave: async () => {
    const report = await breaker.close();
    await store.close();
    client.disconnect();
    lines.close();
    return report;
  },
};

const lines = createInterface(process.stdin);
lines.on("line", (line) => {
  const { id, command, argument } = JSON.parse(line);
  void commands[command](argument).then((answer) => console.log(JSON.stringify({ id, answer })));
});
console.log(JSON.stringify({ id: 0, answer: "ready" }));
