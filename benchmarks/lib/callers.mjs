// Measures what many callers get done together: a function for a row's `measure`.
import { collectGarbage } from "./garbage.mjs";

const FULL = { rounds: 7, batchMs: 400 };
const QUICK = { rounds: 3, batchMs: 150 };

/**
 * Contender → median nanoseconds per operation while so many callers each have one under way. The contenders take
 * turns, as in every row.
 *
 * @param {number} callers
 */
export function byCallers(callers) {
  return async ({ ours, peers }, quick) => {
    const { rounds, batchMs } = quick ? QUICK : FULL;
    const contenders = [];
    for (const [name, operation] of Object.entries({ ours, ...peers })) {
      let count = callers * 4;
      for (let run = 0; run < 4; run += 1)
        count = Math.max(callers * 4, Math.round((batchMs * 1e6) / (await timed(operation, callers, count))));
      contenders.push({ name, operation, count, samples: [] });
    }
    for (let round = 0; round < rounds; round += 1)
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const { operation, count, samples } = contenders[(round + turn) % contenders.length];
        // As in every row: nobody pays for the garbage of the one before.
        collectGarbage({ type: "minor" });
        await timed(operation, callers, Math.max(callers, count >> 3));
        samples.push(await timed(operation, callers, count));
      }
    return Object.fromEntries(
      contenders.map(({ name, samples }) => [name, samples.sort((a, b) => a - b)[samples.length >> 1]]),
    );
  };
}

async function timed(operation, callers, count) {
  let left = count;
  const caller = async () => {
    while (left > 0) {
      left -= 1;
      await operation();
    }
  };
  const start = process.hrtime.bigint();
  await Promise.all(Array.from({ length: callers }, caller));
  return Number(process.hrtime.bigint() - start) / count;
}
