// How long batches of a model take on one device, and the line through it.

/** Batches of each size before it is measured, and while it is. */
const WARM_UP = 3;
const ROUNDS = 15;
/** No start, load or batch may take longer, in milliseconds. */
const LIMIT_MS = 60_000;

/**
 * @typedef {object} Profile
 * @property {number} perItemMs - α
 * @property {number} fixedMs - β
 * @property {number} deviation - p99 of measured ÷ fitted, from 1.
 * @property {{ size: number, ms: number }[]} points - Medians.
 */

/**
 * Runs batches of 1, 2, 4, … on the worker of the first device, without a pool.
 *
 * @param {import("../../packages/gpu-pool/src/worker.ts").WorkerAdapter} workers
 * @param {string} name
 * @param {{ maxBatch: number, input: unknown }} options
 * @returns {Promise<Profile>}
 */
export async function profileOf(workers, name, { maxBatch, input }) {
  const device = workers.devices[0];
  if (device === undefined) throw new Error("there is no device");
  const model = { key: `${name}@1`, name, version: "1" };
  /** @type {(error?: Error) => void} */
  let ended = () => {};
  let open = 0;
  const one = (/** @type {Error | undefined} */ error) => {
    open -= 1;
    if (error !== undefined || open === 0) ended(error);
  };
  // A worker alone keeps no process alive; one that hangs must not do so for ever.
  const limit = setTimeout(() => ended(new Error("a batch does not end")), LIMIT_MS);
  const worker = await workers.start(
    device,
    {
      progress: () => {},
      memory: () => {},
      succeeded: () => one(undefined),
      failed: (_, error) => one(error),
      outOfMemory: (batch) => ended(new Error(`batch ${batch} did not fit into memory: lower --max-batch`)),
      crashed: (cause) => ended(cause),
    },
    AbortSignal.timeout(LIMIT_MS),
  );
  let lastId = 0;
  const timeOf = async (/** @type {number} */ size) => {
    const items = Array.from({ length: size }, () => ({ id: (lastId += 1), input }));
    open = size;
    limit.refresh();
    const start = performance.now();
    await new Promise((resolve, reject) => {
      ended = (error) => (error === undefined ? resolve(undefined) : reject(error));
      worker.run({ id: (lastId += 1), model, items });
    });
    return performance.now() - start;
  };
  try {
    await worker.load(model, AbortSignal.timeout(LIMIT_MS));
    /** @type {{ size: number, all: number[] }[]} */
    const samples = [];
    for (let size = 1; size <= maxBatch; size *= 2) {
      for (let round = 0; round < WARM_UP; round += 1) await timeOf(size);
      const all = [];
      for (let round = 0; round < ROUNDS; round += 1) all.push(await timeOf(size));
      samples.push({ size, all: all.toSorted((a, b) => a - b) });
    }
    return lineThrough(samples);
  } finally {
    clearTimeout(limit);
    await worker.kill();
  }
}

/**
 * Least squares over the medians.
 *
 * @param {{ size: number, all: number[] }[]} samples
 * @returns {Profile}
 */
function lineThrough(samples) {
  const points = samples.map(({ size, all }) => ({ size, ms: all[all.length >> 1] ?? NaN }));
  const sum = (/** @type {(point: { size: number, ms: number }) => number} */ of) =>
    points.reduce((total, point) => total + of(point), 0);
  const n = points.length;
  const spread = n * sum(({ size }) => size * size) - sum(({ size }) => size) ** 2;
  const both = n * sum(({ size, ms }) => size * ms) - sum(({ size }) => size) * sum(({ ms }) => ms);
  // Of one size alone nothing is known but what it takes.
  const perItemMs = spread === 0 ? 0 : Math.max(0, both / spread);
  const fixedMs = Math.max(0, sum(({ ms, size }) => ms - perItemMs * size) / n);
  const ratios = samples
    .flatMap(({ size, all }) => all.map((ms) => ms / (perItemMs * size + fixedMs)))
    .toSorted((a, b) => a - b);
  const deviation = Math.max(1, ratios[Math.ceil(ratios.length * 0.99) - 1] ?? 1);
  return { perItemMs, fixedMs, deviation, points };
}
