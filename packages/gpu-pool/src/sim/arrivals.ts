// When requests come, and for which model, drawn from a seed.
import { optionsOf, seededRandom } from "@holdfast/core";
import type { OptionReader, Random } from "@holdfast/core";
import { RankHeap } from "../scheduler/rank-heap.ts";

/** Requests in the order they come. */
export interface Trace {
  /** Milliseconds from the start, ascending. */
  readonly times: Float64Array;
  /** Which model each is for, as an index. */
  readonly models: Uint16Array;
}

export interface TraceOptions {
  /** How many requests. Integer from 1. */
  readonly count: number;
  /** Requests per second, over the whole trace: what was drawn is stretched to it. */
  readonly ratePerSecond: number;
  /** The same seed gives the same trace, stretched. */
  readonly seed: number;
  /**
   * Times between requests: exponential, or gamma of a shape. Below 1 they come in bursts, with a squared coefficient
   * of variation of 1 ÷ shape. @defaultValue "poisson"
   */
  readonly gaps?: "poisson" | { readonly gammaShape: number };
  /**
   * The load swells and ebbs: at its peak it is `1 + depth` times the mean, half a period later `1 − depth` times.
   * @defaultValue steady
   */
  readonly wave?: { readonly periodMs: number; readonly depth: number };
  /** What share of the requests each model gets; they need not add up to 1. @defaultValue one model */
  readonly shares?: readonly number[];
}

/**
 * Draws a trace.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { drawTrace } from "@holdfast/gpu-pool/sim";
 *
 * const trace = drawTrace({ count: 1_000, ratePerSecond: 500, seed: 1 });
 * trace.times.length; // => 1000
 * Math.round(trace.times.at(-1)!); // => 2000
 * ```
 */
export function drawTrace(options: TraceOptions): Trace {
  const check = optionsOf("drawTrace");
  const count = check.integer("count", options.count, { min: 1, max: 100_000_000 });
  const rate = check.number("ratePerSecond", options.ratePerSecond, { min: 1e-6 });
  const random = seededRandom(check.integer("seed", options.seed, { min: 0 }));
  const { gaps = "poisson", shares = [1] } = options;
  const draw =
    gaps === "poisson" ? exponential : (from: Random) => gamma(gaps.gammaShape, from) / gaps.gammaShape;
  const times = new Float64Array(count);
  const models = new Uint16Array(count);
  // Each model's requests come by themselves: what is bursty is each, not all at once.
  const next = new RankHeap<{ at: number; readonly model: number; readonly gap: number }>(
    ({ model }) => model,
  );
  for (const [model, share] of shares.entries()) {
    check.number(`shares: of model ${model}`, share, { min: 0 });
    const gap = 1 / share;
    if (share === 0) continue;
    const at = gap * draw(random);
    next.put({ at, model, gap }, 0, at, model);
  }
  for (let index = 0; index < count; index += 1) {
    const first = next.first!;
    times[index] = first.at;
    models[index] = first.model;
    first.at += first.gap * draw(random);
    next.put(first, 0, first.at, first.model);
  }
  const spanMs = (count / rate) * 1_000;
  const stretch = spanMs / times[count - 1]!;
  for (let index = 0; index < count; index += 1) times[index]! *= stretch;
  if (options.wave !== undefined) bend(times, options.wave, check);
  return { times, models };
}

/**
 * Shares by rank, as requests for many things are distributed: the k-th gets 1 ÷ k^exponent.
 *
 * @example
 * ```ts
 * import { zipfShares } from "@holdfast/gpu-pool/sim";
 *
 * zipfShares(3, 1); // => [1, 0.5, 1 / 3]
 * ```
 */
export function zipfShares(count: number, exponent: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 1 / (index + 1) ** exponent);
}

/** Moves arrivals at a steady rate to where a rate of `1 − depth × cos(2π × t ÷ period)` has as many before. */
function bend(
  times: Float64Array,
  { periodMs, depth }: NonNullable<TraceOptions["wave"]>,
  check: OptionReader,
): void {
  check.number("wave: periodMs", periodMs, { min: 1 });
  check.number("wave: depth", depth, { min: 0, max: 1 });
  const turn = (2 * Math.PI) / periodMs;
  let at = 0;
  for (let index = 0; index < times.length; index += 1) {
    const steady = times[index]!;
    let low = at;
    let high = steady + periodMs;
    // At most as far off as a millionth of a period.
    for (let step = 0; step < 40 && high - low > periodMs * 1e-6; step += 1) {
      const middle = (low + high) / 2;
      if (middle - (depth / turn) * Math.sin(turn * middle) < steady) low = middle;
      else high = middle;
    }
    at = high;
    times[index] = at;
  }
}

function exponential(random: Random): number {
  return -Math.log(1 - random());
}

/** Marsaglia & Tsang (2000), with the boost for shapes below 1. */
function gamma(shape: number, random: Random): number {
  if (shape < 1) {
    const boost = (1 - random()) ** (1 / shape);
    return gamma(shape + 1, random) * boost;
  }
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}
