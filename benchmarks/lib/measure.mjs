// Measures the contenders of a row in turn, several rounds, and answers the median of each.
import { collectGarbage } from "./garbage.mjs";

const FULL = { rounds: 15, batchMs: 60, warmUpMs: 200 };
const QUICK = { rounds: 5, batchMs: 15, warmUpMs: 50 };

/**
 * Contender → median nanoseconds per operation. `ours` is one of them. Who is `sync` (all, or those named) is not awaited.
 */
export async function measureRow(row, quick) {
  const { rounds, batchMs, warmUpMs } = quick ? QUICK : FULL;
  const contenders = [];
  for (const [name, operation] of Object.entries({ ours: row.ours, ...row.peers })) {
    const loop = loopOver(operation, row.sync === true || row.sync?.includes(name) === true);
    contenders.push({ name, loop, count: await warmUp(loop, warmUpMs, batchMs), samples: [] });
  }
  for (let round = 0; round < rounds; round += 1) {
    // Another one begins each round, so that none always runs in the wake of the same neighbour.
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length];
      await settle(contender);
      contender.samples.push(await timed(contender.loop, contender.count));
    }
  }
  return Object.fromEntries(contenders.map(({ name, samples }) => [name, median(samples)]));
}

/**
 * A loop with code of its own for each contender: one shared loop would call all of them from the same place in
 * the code, which the engine then cannot specialise, to the disadvantage of the fast ones.
 */
function loopOver(operation, sync) {
  const body = (keyword, step) => `
    return ${keyword} function loop(count) {
      let last;
      for (let i = 0; i < count; i += 1) last = ${step};
      return last;
    };`;
  const source = sync ? body("", "operation()") : body("async", "await operation()");
  // oxlint-disable-next-line typescript/no-implied-eval
  return new Function("operation", source)(operation);
}

/** Runs until the engine has optimised it, and answers how many operations fill a batch. */
async function warmUp(loop, warmUpMs, batchMs) {
  let count = 64;
  const until = performance.now() + warmUpMs;
  for (;;) {
    const ns = await timed(loop, count);
    if (performance.now() >= until) return Math.max(16, Math.round((batchMs * 1e6) / ns));
    count = Math.max(64, Math.round((warmUpMs * 1e6) / 8 / ns));
  }
}

async function timed(loop, count) {
  const start = process.hrtime.bigint();
  await loop(count);
  return Number(process.hrtime.bigint() - start) / count;
}

/**
 * Lets timers and garbage of the contender before go, so that it pays for them and not the next one; then runs the
 * next one in, since the machine's caches and the engine's young generation are still the other's.
 */
async function settle(next) {
  await new Promise((resolve) => setImmediate(resolve));
  // Minor, for a full collection shrinks the young generation, and the next contender would pay for its growth.
  collectGarbage({ type: "minor" });
  await next.loop(next.count >> 2);
}

function median(samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
