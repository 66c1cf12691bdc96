// Looks at a queue's meter again and again and keeps an hour of it: throughput and mean times are differences, percentiles
// are those of the latest tasks.
import type { Clock, Timer } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { QueueMeter } from "../store/store.ts";
import type { Percentiles, Point } from "./views.ts";

/** Tasks whose times are noted in one look: the latest that have completed since the one before. */
const NOTED = 100;
const NONE = new Float32Array();

interface Sample {
  readonly at: number;
  readonly monotonic: number;
  readonly meter: QueueMeter;
  readonly ready: number;
  readonly running: number;
  /** From added to completed, in milliseconds, of some of those that have completed since the sample before. */
  readonly totals: Float32Array;
}

/** Samples of one queue, the oldest first. A look that fails leaves a gap. */
export class Sampler {
  #samples: Sample[] = [];
  #timer: Timer | undefined;
  #isClosed = false;
  /** Up to when completions have been seen, on the store's clock; nothing before the first look. */
  #seenUntil: number | undefined;

  constructor(
    private readonly queue: Queue,
    private readonly clock: Clock,
    private readonly everyMs: number,
    private readonly kept: number,
  ) {}

  /** Looks now and from now on. The timer does not keep the process alive. */
  start(): void {
    void this.#look();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#samples = [];
  }

  /** What happened in the last `windowMs`, in at most `max` stretches. */
  points(windowMs: number, max: number): readonly Point[] {
    const from = this.clock.monotonic() - windowMs;
    const first = this.#samples.findIndex(({ monotonic }) => monotonic >= from);
    if (first < 0) return [];
    const step = Math.max(1, Math.ceil((this.#samples.length - first - 1) / max));
    const points: Point[] = [];
    // From the latest backwards, so that a stretch does not change once it is behind.
    for (let index = this.#samples.length - 1; index - step >= first; index -= step) {
      const point = stretch(this.#samples.slice(index - step, index + 1));
      if (point !== undefined) points.push(point);
    }
    return points.toReversed();
  }

  async #newTotals({ completed }: QueueMeter): Promise<Float32Array> {
    const from = this.#seenUntil;
    if (from !== undefined && completed === this.#samples.at(-1)?.meter.completed) return NONE;
    const tasks = (await this.queue.list("completed", NOTED)).filter((task) => task.state === "completed");
    this.#seenUntil = Math.max(from ?? 0, ...tasks.map(({ finishedAt }) => finishedAt));
    if (from === undefined) return NONE;
    const fresh = tasks.filter(({ finishedAt }) => finishedAt > from);
    return Float32Array.from(fresh, ({ finishedAt, enqueuedAt }) => Math.max(0, finishedAt - enqueuedAt));
  }

  async #look(): Promise<void> {
    try {
      const [meter, { ready, running }] = await Promise.all([this.queue.meter(), this.queue.stats()]);
      const totals = await this.#newTotals(meter);
      if (this.#isClosed) return;
      const at = this.clock.now();
      this.#samples.push({ at, monotonic: this.clock.monotonic(), meter, ready, running, totals });
      if (this.#samples.length > this.kept) this.#samples.shift();
    } catch {
      // The store is away: whoever looks at the page is told by the answers themselves.
    }
    if (!this.#isClosed) this.#timer = this.clock.setTimer(this.everyMs, () => void this.#look());
  }
}

/** Nearest rank, of all together. */
function totalOf(parts: readonly Float32Array[]): { readonly totalMs?: Percentiles } {
  const all = Float32Array.from(parts.flatMap((part) => Array.from(part))).sort();
  if (all.length === 0) return {};
  const at = (share: number): number => all[Math.ceil(share * all.length) - 1]!;
  return { totalMs: { p50: at(0.5), p95: at(0.95), p99: at(0.99) } };
}

/** From the first of these samples to the last. */
function stretch(samples: readonly Sample[]): Point | undefined {
  const [one, other] = [samples[0]!, samples.at(-1)!];
  const seconds = (other.monotonic - one.monotonic) / 1_000;
  const more = (
    of: "added" | "completed" | "failed" | "retried" | "started" | "waitedMs" | "ranMs",
  ): number => other.meter[of] - one.meter[of];
  // A store that was emptied counts from the start again.
  if (seconds <= 0 || more("added") < 0 || more("started") < 0 || more("completed") < 0) return undefined;
  const started = more("started");
  const completed = more("completed");
  return {
    at: other.at,
    added: more("added") / seconds,
    completed: completed / seconds,
    failed: Math.max(0, more("failed")) / seconds,
    retried: Math.max(0, more("retried")) / seconds,
    ...(started > 0 ? { waitMs: more("waitedMs") / started } : {}),
    ...(completed > 0 ? { runMs: more("ranMs") / completed } : {}),
    ...totalOf(samples.slice(1).map(({ totals }) => totals)),
    ready: other.ready,
    running: other.running,
  };
}
