// Client-side adaptive throttling: a client that is refused much refuses itself, before it sends.
import type {
  Clock,
  Context,
  Duration,
  Policy,
  PolicyDescription,
  PolicySnapshot,
  Random,
  RunOptions,
  Task,
} from "@holdfast/core";
import {
  asError,
  channel,
  contextOf,
  formatDuration,
  HoldfastError,
  optionsOf,
  systemClock,
  systemRandom,
} from "@holdfast/core";
import { meansOverload } from "../adaptive/overload.ts";
import { isRefusedHere } from "../refusals/refused-here.ts";
import { withoutStack } from "../refusals/without-stack.ts";
import { started } from "../started.ts";

export interface AdaptiveThrottleOptions {
  /** @defaultValue "adaptive-throttle" */
  readonly name?: string;
  /**
   * How many requests are sent for each that is accepted before any is held back: 2 lets twice as many through, 1.1
   * sends little in vain. Above 1, up to 100. @defaultValue 2
   */
  readonly k?: number;
  /** A `k` for each class of criticality; each class is judged by its own requests. @defaultValue one class */
  readonly classes?: Readonly<Record<string, number>>;
  /** Which class a call is of; one of no known class has `k`. */
  readonly classOf?: (context: Context) => string | undefined;
  /** How long a request counts. From 1 s. @defaultValue "2m" */
  readonly window?: Duration;
  /**
   * Calls under way that count for nothing until they have ended, so that a burst to a healthy callee is not held back;
   * those beyond count as requests at once, so that a burst to one that hangs is. 0 counts all of them, as the book
   * does. @defaultValue 100
   */
  readonly undecided?: number;
  /** Which errors say that the callee did not take the request. @defaultValue timeouts and errors of status 429 or 503 */
  readonly isRefusal?: (error: Error) => boolean;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

/** The call was not sent, since most of late were refused. `code: "THROTTLED"`. */
export class ThrottledError extends HoldfastError {
  override readonly code = "THROTTLED";
  override readonly status = 503;

  constructor(
    /** Name of the policy. */
    readonly throttle: string,
    /** Share of the calls that are not sent at the moment. */
    readonly probability: number,
  ) {
    super(`${throttle} holds back ${Math.round(probability * 100)}% of the calls: most were refused of late`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { throttle: this.throttle };
  }
}

/** Published as `holdfast:breaker:throttled` for every call that is not sent. */
export interface ThrottledEvent {
  readonly throttle: string;
  /** Absent for calls of no class. */
  readonly class?: string;
  readonly probability: number;
}

/** The defaults of `adaptiveThrottle`. */
export const ADAPTIVE_THROTTLE_DEFAULTS: {
  readonly k: number;
  readonly windowMs: number;
  readonly undecided: number;
} = { k: 2, windowMs: 120_000, undecided: 100 };

const throttled = /* @__PURE__ */ channel<ThrottledEvent>("breaker", "throttled");

/** Steps in which requests leave the window. */
const BUCKETS = 24;

/**
 * Adaptive throttling (Beyer et al., "Site Reliability Engineering", 2016, ch. 21): a call is held back with probability
 * `max(0, (requests − k × accepts) ÷ (requests + 1))` over the window. A request that is held back counts too, and so do
 * those under way beyond the first hundred (`undecided`). A call that its caller aborts, or that a policy further in refuses, is
 * taken out of the count again: it says nothing about the callee.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { adaptiveThrottle } from "@holdfast/breaker";
 *
 * const throttle = adaptiveThrottle({ k: 2 });
 * await throttle.run(() => "sent"); // => "sent"
 * ```
 */
export function adaptiveThrottle(options: AdaptiveThrottleOptions = {}): Policy {
  return new Throttle(options);
}

class Throttle implements Policy {
  readonly kind = "adaptive-throttle";
  readonly name: string;
  readonly #own: Traffic;
  readonly #classes: ReadonlyMap<string, Traffic>;
  readonly #classOf: AdaptiveThrottleOptions["classOf"];
  readonly #isRefusal: (error: Error) => boolean;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #summary: string;

  constructor(options: AdaptiveThrottleOptions) {
    const check = optionsOf("adaptiveThrottle");
    const range = { min: 1.000_001, max: 100 };
    this.name = check.string("name", options.name, 255, this.kind);
    const k = check.number("k", options.k, range, ADAPTIVE_THROTTLE_DEFAULTS.k);
    const windowMs = check.duration(
      "window",
      options.window,
      { min: 1_000 },
      ADAPTIVE_THROTTLE_DEFAULTS.windowMs,
    );
    const bucketMs = windowMs / BUCKETS;
    const undecided = check.integer(
      "undecided",
      options.undecided,
      { min: 0 },
      ADAPTIVE_THROTTLE_DEFAULTS.undecided,
    );
    this.#own = new Traffic(k, bucketMs, undecided);
    this.#classes = new Map(
      Object.entries(options.classes ?? {}).map(([key, own]) => [
        key,
        new Traffic(check.number(`classes.${key}`, own, range), bucketMs, undecided),
      ]),
    );
    this.#classOf = check.function("classOf", options.classOf);
    this.#isRefusal = check.function("isRefusal", options.isRefusal) ?? meansOverload;
    this.#clock = options.clock ?? systemClock;
    this.#random = check.function("random", options.random) ?? systemRandom;
    this.#summary = `holds calls back when more than ${k} are sent for each that is accepted within ${formatDuration(windowMs)}`;
  }

  run<T>(task: Task<T>, options?: RunOptions): Promise<T> {
    const context = contextOf(options);
    if (context.aborted) return Promise.reject(context.reason as Error);
    const key = this.#keyOf(context);
    const traffic = (key === undefined ? undefined : this.#classes.get(key)) ?? this.#own;
    const probability = traffic.request(this.#clock.monotonic());
    const bucket = traffic.bucket;
    if (probability > 0 && this.#random() < probability) {
      if (throttled.hasSubscribers)
        throttled.publish({ throttle: this.name, probability, ...(key === undefined ? {} : { class: key }) });
      return Promise.reject(withoutStack(() => new ThrottledError(this.name, probability)));
    }
    traffic.sent();
    return started(task, context).then(
      (value) => {
        traffic.ended();
        traffic.accept(this.#clock.monotonic());
        return value;
      },
      (thrown: unknown) => {
        const error = asError(thrown);
        traffic.ended();
        if (context.aborted || isRefusedHere(error)) traffic.withdraw(bucket, this.#clock.monotonic());
        else if (!this.#refuses(error)) traffic.accept(this.#clock.monotonic());
        throw context.aborted ? context.reason : error;
      },
    );
  }

  snapshot(): PolicySnapshot {
    const now = this.#clock.monotonic();
    return {
      kind: this.kind,
      name: this.name,
      ...this.#own.counts(now),
      classes: Object.fromEntries([...this.#classes].map(([key, traffic]) => [key, traffic.counts(now)])),
    };
  }

  describe(): PolicyDescription {
    return { kind: this.kind, name: this.name, summary: this.#summary };
  }

  #keyOf(context: Context): string | undefined {
    try {
      const key = this.#classOf?.(context);
      return key !== undefined && this.#classes.has(key) ? key : undefined;
    } catch {
      return undefined;
    }
  }

  #refuses(error: Error): boolean {
    try {
      return this.#isRefusal(error);
    } catch {
      return false;
    }
  }
}

/** Requests and accepts of one class within the window. Its buckets advance by elapsed time. */
class Traffic {
  readonly #requests = new Float64Array(BUCKETS);
  readonly #accepts = new Float64Array(BUCKETS);
  #allRequests = 0;
  #allAccepts = 0;
  #bucket = 0;
  /** Calls under way. */
  #underWay = 0;

  constructor(
    private readonly k: number,
    private readonly bucketMs: number,
    /** How many of those under way do not count. */
    private readonly undecided: number,
  ) {}

  /** Counts a request; answers with what probability it is to be held back, judged by those before it. */
  request(now: number): number {
    this.#advance(now);
    const probability = this.#probability();
    this.#requests[this.#bucket % BUCKETS]! += 1;
    this.#allRequests += 1;
    return probability;
  }

  sent(): void {
    this.#underWay += 1;
  }

  ended(): void {
    this.#underWay -= 1;
  }

  /** Where the latest request was counted. */
  get bucket(): number {
    return this.#bucket;
  }

  /** Takes a request out again, if it has not left the window by itself. */
  withdraw(bucket: number, now: number): void {
    this.#advance(now);
    if (this.#bucket - bucket >= BUCKETS) return;
    this.#requests[bucket % BUCKETS]! -= 1;
    this.#allRequests -= 1;
  }

  accept(now: number): void {
    this.#advance(now);
    this.#accepts[this.#bucket % BUCKETS]! += 1;
    this.#allAccepts += 1;
  }

  counts(now: number): { readonly requests: number; readonly accepts: number; readonly probability: number } {
    this.#advance(now);
    return {
      requests: this.#allRequests,
      accepts: this.#allAccepts,
      probability: this.#probability(),
    };
  }

  #probability(): number {
    // One that hangs for longer than the window has left it and is left out all the same: lenient, never strict.
    const requests = Math.max(0, this.#allRequests - Math.min(this.#underWay, this.undecided));
    return Math.max(0, (requests - this.k * this.#allAccepts) / (requests + 1));
  }

  #advance(now: number): void {
    const bucket = Math.floor(now / this.bucketMs);
    const steps = Math.min(BUCKETS, bucket - this.#bucket);
    for (let step = 1; step <= steps; step += 1) {
      const slot = (this.#bucket + step) % BUCKETS;
      this.#allRequests -= this.#requests[slot]!;
      this.#allAccepts -= this.#accepts[slot]!;
      this.#requests[slot] = this.#accepts[slot] = 0;
    }
    this.#bucket = bucket;
  }
}
