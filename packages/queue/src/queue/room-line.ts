// Those who wait for room in a full queue: first come, first served, of this process.
import type { Clock, Random } from "@holdfast/core";
import { ClosedError, hasCode } from "@holdfast/core";
import { QueueFullError, TooManyWaitingError } from "../errors.ts";
import { answered } from "../store/store-deadline.ts";
import type { EnqueueResult } from "../store/store.ts";

/** What is added once there may be room for it. */
export interface RoomRequest {
  /** Tasks. */
  readonly needs: number;
  readonly add: () => Promise<EnqueueResult>;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface RoomLineSettings {
  readonly queue: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Most who wait. */
  readonly maxWaiting: number;
  readonly retryAfterMs: number;
  readonly limit: number;
  /** How many live tasks there are. */
  readonly live: () => Promise<number>;
}

/** The first look at whether there is room, and what the wait between two grows by, up to the longest; milliseconds. */
const FIRST_LOOK_MS = 20;
const GROWTH = 1.6;
const LONGEST_MS = 2_000;
/** A look that is not answered by then has failed. */
const PATIENCE_MS = 10_000;

interface Waiter extends RoomRequest {
  /** Sent to the store: only its answer decides now. */
  sent: boolean;
  timeIsUp: boolean;
  readonly settle: (result: EnqueueResult) => void;
  readonly fail: (error: unknown) => void;
}

export class RoomLine {
  readonly #line: Waiter[] = [];
  #isServed = false;
  #lastLive: number;
  /** What the last look failed with. */
  #failure: { readonly error: unknown } | undefined;
  readonly #stop = new AbortController();

  constructor(private readonly settings: RoomLineSettings) {
    this.#lastLive = settings.limit;
  }

  get length(): number {
    return this.#line.length;
  }

  /**
   * Waits until the tasks have been added.
   *
   * @throws QueueFullError when the time is up, or what the store failed with last; TooManyWaitingError, ClosedError, the
   * signal's reason, what its own call failed with.
   */
  join(request: RoomRequest): Promise<EnqueueResult> {
    const { queue, maxWaiting, retryAfterMs, clock } = this.settings;
    const { signal } = request;
    if (this.#line.length >= maxWaiting)
      return Promise.reject(new TooManyWaitingError(queue, this.#line.length, retryAfterMs));
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        const at = this.#line.indexOf(waiter);
        if (at !== -1) this.#line.splice(at, 1);
      };
      const waiter: Waiter = {
        ...request,
        sent: false,
        timeIsUp: false,
        settle: (result) => {
          end();
          resolve(result);
        },
        fail: (error) => {
          end();
          reject(error as Error);
        },
      };
      const onAbort = (): void => waiter.fail(signal?.reason);
      const onTime = (): void => {
        waiter.timeIsUp = true;
        if (!waiter.sent) waiter.fail(this.#whyNot());
      };
      const timer = clock.setTimer(request.maxWaitMs, onTime, { keepAlive: true });
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#line.push(waiter);
      if (!this.#isServed) void this.#serve();
    });
  }

  close(): void {
    const error = new ClosedError(`queue "${this.settings.queue}"`);
    this.#stop.abort(error);
    for (const waiter of this.#line.splice(0)) waiter.fail(error);
  }

  /** One loop for all who wait: it asks how many there are, and sends no payload before there may be room for it. */
  async #serve(): Promise<void> {
    this.#isServed = true;
    const { clock, random, limit, live } = this.settings;
    for (let lookMs = FIRST_LOOK_MS; this.#line.length > 0;) {
      try {
        await clock.sleep(lookMs * (0.5 + random() / 2), this.#stop.signal);
        this.#lastLive = await answered(live(), PATIENCE_MS, clock);
        const served = await this.#serveUpTo(limit - this.#lastLive);
        lookMs = served ? FIRST_LOOK_MS : Math.min(LONGEST_MS, lookMs * GROWTH);
        this.#failure = undefined;
      } catch (error) {
        // Each waits on for as long as it meant to, unless there is nothing more to come.
        this.#failure = { error };
        lookMs = Math.min(LONGEST_MS, lookMs * GROWTH);
        if (this.#stop.signal.aborted || hasCode(error, "CLOSED"))
          for (const waiter of this.#line.splice(0)) waiter.fail(error);
      }
    }
    this.#isServed = false;
  }

  /** Why one whose time is up was not added: as far as was last known. */
  #whyNot(): unknown {
    if (this.#failure !== undefined) return this.#failure.error;
    return new QueueFullError(this.settings.queue, this.#lastLive, this.settings.retryAfterMs);
  }

  /** Whether anybody was. */
  async #serveUpTo(room: number): Promise<boolean> {
    let left = room;
    let served = false;
    for (let first = this.#line[0]; first !== undefined && first.needs <= left; first = this.#line[0]) {
      first.sent = true;
      const result = await this.#added(first);
      // It may have been added: nobody else's call, nor to be made again.
      if (result === undefined) return served;
      if (result.full) {
        first.sent = false;
        this.#lastLive = result.live;
        if (first.timeIsUp) first.fail(this.#whyNot());
        return served;
      }
      left -= first.needs;
      served = true;
      first.settle(result);
    }
    return served;
  }

  async #added(first: Waiter): Promise<EnqueueResult | undefined> {
    try {
      return await answered(first.add(), PATIENCE_MS, this.settings.clock);
    } catch (error) {
      first.fail(error);
      return undefined;
    }
  }
}
