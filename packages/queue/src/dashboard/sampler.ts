// Looks at a queue's meter again and again and keeps an hour of it: throughput and latency are differences.
import type { Clock, Timer } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { QueueMeter } from "../store/store.ts";
import type { Point } from "./views.ts";

interface Sample {
  readonly at: number;
  readonly monotonic: number;
  readonly meter: QueueMeter;
  readonly ready: number;
  readonly running: number;
}

/** Samples of one queue, the oldest first. A look that fails leaves a gap. */
export class Sampler {
  #samples: Sample[] = [];
  #timer: Timer | undefined;
  #isClosed = false;

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
      const point = between(this.#samples[index - step]!, this.#samples[index]!);
      if (point !== undefined) points.push(point);
    }
    return points.toReversed();
  }

  async #look(): Promise<void> {
    try {
      const [meter, { ready, running }] = await Promise.all([this.queue.meter(), this.queue.stats()]);
      if (this.#isClosed) return;
      const at = this.clock.now();
      this.#samples.push({ at, monotonic: this.clock.monotonic(), meter, ready, running });
      if (this.#samples.length > this.kept) this.#samples.shift();
    } catch {
      // The store is away: whoever looks at the page is told by the answers themselves.
    }
    if (!this.#isClosed) this.#timer = this.clock.setTimer(this.everyMs, () => void this.#look());
  }
}

function between(one: Sample, other: Sample): Point | undefined {
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
    ready: other.ready,
    running: other.running,
  };
}
