// What a pool really reaches: requests that come at random times, whatever becomes of those before them.
import { setTimeout as sleep } from "node:timers/promises";

const GOAL = 0.99;
/** Rates that are tried, the first one included. */
const STEPS = 7;

/**
 * @typedef {object} Load
 * @property {import("../../packages/gpu-pool/src/model.ts").ModelOptions} model
 * @property {unknown} input
 * @property {number} sloMs
 * @property {number} seconds
 * @property {number} expected - In requests per second.
 *
 * @typedef {object} Measured
 * @property {number} goodput - The highest rate that was tried at which 99 % ended in time; 0 if none was.
 * @property {{ rate: number, goodShare: number }[]} runs
 * @property {{ perItemMs: number, fixedMs: number, margin: number }} fitted - By the pool itself.
 */

/**
 * Halves the range below one and a half times what is expected, on a pool that goes on meanwhile.
 *
 * @param {typeof import("../../packages/gpu-pool/src/index.ts").gpuPool} gpuPool
 * @param {import("../../packages/gpu-pool/src/worker.ts").WorkerAdapter} workers
 * @param {Load} load
 * @returns {Promise<Measured>}
 */
export async function measuredGoodput(gpuPool, workers, load) {
  const { model, input, sloMs, seconds, expected } = load;
  const pool = gpuPool({ workers, models: [model], queueLimit: 100_000 });
  const send = () => pool.run(model.name, input, { deadline: sloMs });
  try {
    await pool.ready({ signal: AbortSignal.timeout(60_000) });
    await shareInTime(send, expected / 2, seconds);
    /** @type {Measured["runs"]} */
    const runs = [];
    let low = 0;
    let high = expected * 1.5;
    for (let step = 0; step < STEPS; step += 1) {
      const rate = step === 0 ? expected : (low + high) / 2;
      const goodShare = await shareInTime(send, rate, seconds);
      runs.push({ rate, goodShare });
      if (goodShare >= GOAL) low = rate;
      else high = rate;
    }
    const [state] = pool.snapshot().modelStates;
    const [fitted] = Object.values(state?.profiles ?? {});
    if (fitted === undefined) throw new Error("the pool has measured nothing");
    return { goodput: low, runs, fitted };
  } finally {
    await pool.close({ within: 1_000 });
  }
}

/**
 * Poisson arrivals (open loop: none waits for an answer), and the share that was answered in time.
 *
 * @param {() => Promise<unknown>} send
 * @param {number} rate - Per second.
 * @param {number} seconds
 */
async function shareInTime(send, rate, seconds) {
  let good = 0;
  const answers = [];
  const start = performance.now();
  const end = seconds * 1_000;
  for (let at = gap(rate); at < end; at += gap(rate)) {
    for (let early = at - elapsed(start); early > 0; early = at - elapsed(start))
      await (early > 2 ? sleep(early - 1) : new Promise(setImmediate));
    answers.push(
      send().then(
        () => void (good += 1),
        (/** @type {{ code?: unknown }} */ error) => {
          if (error.code !== "DEADLINE_EXCEEDED" && error.code !== "POOL_SATURATED") throw error;
        },
      ),
    );
  }
  await Promise.all(answers);
  return answers.length === 0 ? 1 : good / answers.length;
}

/** @param {number} start */
function elapsed(start) {
  return performance.now() - start;
}

/** @param {number} rate */
function gap(rate) {
  return (-Math.log(1 - Math.random()) / rate) * 1_000;
}
