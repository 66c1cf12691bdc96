// A percentile of recent latencies in a fixed 4 kB, whatever their number and range.

/** Relative error of an answer: 2 %. */
const ACCURACY = 0.02;
const GAMMA = (1 + ACCURACY) / (1 - ACCURACY);
const LOG_GAMMA = Math.log(GAMMA);
/** Shortest latency told apart, in milliseconds; the longest is then beyond a day. */
const SHORTEST_MS = 0.1;
const BUCKETS = 520;
/** Weight at which all counts are halved: the last 1,000 to 2,000 latencies decide. */
const MEMORY = 2_000;
/** The answer is computed anew once this share of the samples, at least one, is new. */
const REFRESH_SHARE = 1 / 64;

/**
 * A streaming percentile: a histogram of logarithmic buckets, each 4 % wider than the one before, so that every
 * answer is within 2 % (DDSketch; Masson, Rim & Lee, VLDB 2019). Counts are halved again and again, so that old
 * latencies fade and the memory is bounded in time as well.
 */
export class LatencyPercentile {
  readonly #counts = new Float64Array(BUCKETS);
  /** Samples seen, ever. */
  samples = 0;
  #weight = 0;
  #newSamples = 0;
  #answer: number | undefined;

  /** @param percentile - Above 0 and below 100. */
  constructor(private readonly percentile: number) {}

  /** @param ms - From 0; what is below 0.1 ms or beyond a day counts as that. */
  add(ms: number): void {
    const bucket = Math.ceil(Math.log(ms / SHORTEST_MS) / LOG_GAMMA);
    this.#counts[Math.max(0, Math.min(BUCKETS - 1, bucket))]! += 1;
    this.samples += 1;
    this.#weight += 1;
    this.#newSamples += 1;
    if (this.#weight >= MEMORY) this.#halve();
  }

  /** The percentile in milliseconds; `undefined` before the first sample. */
  get valueMs(): number | undefined {
    if (this.#newSamples > this.#weight * REFRESH_SHARE) {
      this.#newSamples = 0;
      this.#answer = this.#compute();
    }
    return this.#answer;
  }

  #compute(): number {
    const rank = (this.percentile / 100) * this.#weight;
    let below = 0;
    let bucket = -1;
    while (bucket < BUCKETS - 1 && below < rank) {
      bucket += 1;
      below += this.#counts[bucket]!;
    }
    // The middle of the bucket, in the sense that both its ends are equally wrong.
    return (SHORTEST_MS * 2 * GAMMA ** bucket) / (GAMMA + 1);
  }

  #halve(): void {
    this.#weight /= 2;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.#counts[bucket]! /= 2;
  }
}
