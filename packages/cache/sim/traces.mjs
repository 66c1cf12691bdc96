// What is asked for, in which order: synthetic traces of published shapes, the same for the same seed.

/**
 * @typedef {() => number} Random
 *
 * @typedef {object} Trace
 * @property {string} name
 * @property {string} about
 * @property {(size: number, random: Random) => Int32Array} make - For a cache of so many entries.
 */

export const REQUESTS = 200_000;
/** Keys of the Zipf traces. */
export const KEYS = 20_000;

/** Keys from here on are asked for once. */
const ONCE = 1_000_000;

/** @type {readonly Trace[]} */
export const TRACES = [
  {
    name: "Zipf 0.8",
    about: `${KEYS.toLocaleString("en")} keys, the k-th most popular asked for in proportion to k^−0.8`,
    make: (_size, random) => steady(zipf(KEYS, 0.8, random)),
  },
  {
    name: "Zipf 0.99",
    about: "the same with k^−0.99",
    make: (_size, random) => steady(zipf(KEYS, 0.99, random)),
  },
  {
    name: "scan in Zipf",
    about: "Zipf 0.99; every 10,000 requests 5,000 keys in a row that are asked for once",
    make: (_size, random) => scans(zipf(KEYS, 0.99, random)),
  },
  {
    name: "one-hit wonders",
    about: "Zipf 0.99; in bursts of 500, half of the time, each key is asked for once",
    make: (_size, random) => bursts(zipf(KEYS, 0.99, random), random),
  },
  {
    name: "loop",
    about: "the same keys round and round, a tenth more than fit",
    make: (size) => fill((at) => at % Math.ceil(size * 1.1)),
  },
  {
    name: "shifting hot set",
    about: "Zipf 0.99 over 5,000 keys, of which every 20,000 requests the most popular half is replaced",
    make: (_size, random) => shifting(zipf(5_000, 0.99, random)),
  },
  {
    name: "recency",
    about:
      "a fifth new keys; else one of the latest, the more recently seen the likelier (geometric, mean 500)",
    make: (_size, random) => recency(random),
  },
];

/** Draws ranks from 0 by Zipf's law. */
function zipf(keys, exponent, random) {
  const cumulated = new Float64Array(keys);
  let sum = 0;
  for (let rank = 0; rank < keys; rank += 1) cumulated[rank] = sum += (rank + 1) ** -exponent;
  return () => {
    const at = random() * sum;
    let low = 0;
    let high = keys - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cumulated[middle] < at) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

function fill(keyAt) {
  return Int32Array.from({ length: REQUESTS }, (_, at) => keyAt(at));
}

function steady(draw) {
  return fill(draw);
}

function scans(draw) {
  let once = ONCE;
  return fill((at) => (at % 15_000 < 10_000 ? draw() : once++));
}

function bursts(draw, random) {
  let once = ONCE;
  let isBurst = false;
  return fill((at) => {
    if (at % 500 === 0) isBurst = random() < 0.5;
    return isBurst ? once++ : draw();
  });
}

function shifting(draw) {
  const hot = 2_500;
  return fill((at) => {
    const rank = draw();
    return rank < hot ? ONCE + Math.floor(at / 20_000) * hot + rank : rank;
  });
}

function recency(random) {
  /** The latest first, far fewer than all. */
  const stack = [];
  let next = 0;
  return fill(() => {
    const depth = Math.floor(-Math.log(1 - random()) * 500);
    const key = random() < 0.2 || depth >= stack.length ? next++ : stack.splice(depth, 1)[0];
    stack.unshift(key);
    if (stack.length > 5_000) stack.pop();
    return key;
  });
}
