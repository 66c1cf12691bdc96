// How many workers a queue wants, over HTTP: for KEDA's metrics API, or whatever else asks.
import type { Handler } from "@holdfast/core";
import { optionsOf, problemResponse, RequestError } from "@holdfast/core";
import type { Duration } from "@holdfast/core";
import type { AutoscaleOptions, QueueMeasure } from "../autoscale.ts";
import { autoscaleLimits, autoscaleSignal, measureQueue } from "../autoscale.ts";
import type { Queue } from "../queue/queue-contract.ts";
import { answered } from "../store/store-deadline.ts";

export interface AutoscaleApiOptions extends AutoscaleOptions {
  readonly queue: Queue;
  /** What rates are taken over, at least, whoever asks how often. @defaultValue "30s" */
  readonly window?: Duration;
  /** How long the store may take. @defaultValue "5s" */
  readonly deadline?: Duration;
  /** Refuses a request by throwing. @defaultValue everybody may ask */
  readonly authorize?: (request: Request) => unknown;
}

/** Looks closer together than this share one, in milliseconds. */
const FRESH_MS = 1_000;

/**
 * A Fetch handler that answers `GET` with the {@link AutoscaleSignal} of a queue as JSON. KEDA's `metrics-api` scaler
 * reads `valueLocation: wantedWorkers` with `targetValue: "1"`.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function autoscaleApi(options: AutoscaleApiOptions): Handler {
  const check = optionsOf("autoscaleApi");
  const { queue, authorize } = options;
  autoscaleLimits(options);
  const windowMs = check.duration("window", options.window, { min: FRESH_MS }, 30_000);
  const deadlineMs = check.duration("deadline", options.deadline, { min: 1 }, 5_000);
  const looks = new Looks(() => answered(measureQueue(queue), deadlineMs, queue.clock), queue, windowMs);
  return async (request) => {
    try {
      if (request.method !== "GET" && request.method !== "HEAD")
        return problemResponse(new RequestError(405, "METHOD_NOT_ALLOWED", "only GET can be done here"), {
          allow: "GET, HEAD",
        });
      await authorize?.(request);
      const { before, after } = await looks.take();
      const signal = autoscaleSignal(before, after, options);
      return Response.json(signal, { headers: { "cache-control": "no-store" } });
    } catch (error) {
      if (!(error instanceof Error) || !("toProblem" in error)) throw error;
      return problemResponse(error);
    }
  };
}

/** Two looks that are far enough apart: those who ask often do not make the rates jump. */
class Looks {
  #before: QueueMeasure | undefined;
  #middle: QueueMeasure | undefined;
  #after: QueueMeasure | undefined;
  #looking: Promise<QueueMeasure> | undefined;

  constructor(
    private readonly measure: () => Promise<QueueMeasure>,
    private readonly queue: Pick<Queue, "clock">,
    private readonly windowMs: number,
  ) {}

  async take(): Promise<{ readonly before: QueueMeasure; readonly after: QueueMeasure }> {
    const last = this.#after;
    const isFresh = last !== undefined && this.queue.clock.now() - last.at < FRESH_MS;
    const after = isFresh ? last : await this.#look();
    this.#after = after;
    this.#before ??= after;
    this.#middle ??= after;
    // Each of the two is replaced once the other is old enough: what is between is one window, at most two.
    if (after.at - this.#middle.at >= this.windowMs) {
      this.#before = this.#middle;
      this.#middle = after;
    }
    return { before: this.#before, after };
  }

  #look(): Promise<QueueMeasure> {
    this.#looking ??= this.measure().finally(() => (this.#looking = undefined));
    return this.#looking;
  }
}
