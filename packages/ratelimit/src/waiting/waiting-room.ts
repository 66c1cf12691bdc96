// Those who wait until they can take: a line for each subject, bounded all together; everybody can leave at any time.
import type { Clock, Timer } from "@holdfast/core";
import { channel, ClosedError, TimeoutError } from "@holdfast/core";
import type { RateLimitWaitedEvent } from "../contract.ts";
import type { Allowed, Decision, Refused } from "../decision.ts";
import { RateLimitedError, RateLimitQueueFullError } from "../errors.ts";
import type { Place } from "./fair-line.ts";
import { FairLine } from "./fair-line.ts";

/** One who wants to wait. Times in milliseconds. */
export interface WaitRequest {
  /** The same for all who wait for the same. */
  readonly id: string;
  readonly tenant: string;
  /** What it asks for, divided by its weight. */
  readonly effort: number;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly ask: () => Decision | Promise<Decision>;
  /** For what was taken for one who had left meanwhile. */
  readonly giveBack: (decision: Allowed) => void;
}

interface Waiter extends WaitRequest {
  readonly since: number;
  readonly resolve: (decision: Allowed) => void;
  readonly reject: (error: unknown, outcome: RateLimitWaitedEvent["outcome"]) => void;
}

interface Line {
  readonly waiters: FairLine<Waiter>;
  /** Until the first can take. */
  timer: Timer | undefined;
  isAsking: boolean;
  /** The last one, of whoever was first. */
  refusal: Refused | undefined;
}

/** How often a place of a concurrency limit is asked for, in milliseconds, besides when one is given back here. */
const PLACE_POLL_MS = 250;

const waited = /* @__PURE__ */ channel<RateLimitWaitedEvent>("ratelimit", "waited");

export class WaitingRoom {
  readonly #lines = new Map<string, Line>();
  #waiting = 0;

  constructor(
    private readonly limiter: string,
    private readonly maxWaiting: number,
    private readonly clock: Clock,
  ) {}

  get waiting(): number {
    return this.#waiting;
  }

  /** Whether somebody waits for the same. */
  hasLine(id: string): boolean {
    return this.#lines.has(id);
  }

  /**
   * Joins the line, and resolves with what `ask` has allowed.
   *
   * @param refusal - What it was answered already.
   */
  async wait(request: WaitRequest, refusal?: Refused): Promise<Allowed> {
    request.signal?.throwIfAborted();
    if (this.#waiting >= this.maxWaiting) throw new RateLimitQueueFullError(this.limiter, this.#waiting);
    const line = this.#line(request.id);
    return new Promise((resolve, reject) => {
      const leave = (outcome: RateLimitWaitedEvent["outcome"]): boolean => {
        if (place.index === -1) return false;
        deadline.cancel();
        request.signal?.removeEventListener("abort", onAbort);
        if (outcome === "allowed") line.waiters.serve(place);
        else line.waiters.leave(place);
        this.#waiting -= 1;
        this.#tell(waiter.since, outcome);
        return true;
      };
      const waiter: Waiter = {
        ...request,
        since: this.clock.monotonic(),
        resolve: (decision) => {
          if (leave("allowed")) resolve(decision);
          else request.giveBack(decision);
        },
        reject: (error, outcome) => {
          const wasFirst = line.waiters.first === place;
          if (!leave(outcome)) return;
          reject(error as Error);
          // The next may want less.
          if (wasFirst) this.#wakeLine(request.id, line);
        },
      };
      const onAbort = (): void => waiter.reject(request.signal?.reason, "aborted");
      const deadline = this.clock.setTimer(
        request.deadlineMs,
        () => waiter.reject(this.#tooLate(line, request), "refused"),
        { keepAlive: true },
      );
      request.signal?.addEventListener("abort", onAbort, { once: true });
      const place: Place<Waiter> = line.waiters.join(waiter, request.tenant, request.effort);
      this.#waiting += 1;
      if (line.waiters.first !== place) return;
      if (refusal === undefined) this.#wakeLine(request.id, line);
      else this.#sleep(request.id, line, place, refusal);
    });
  }

  /** Something was given back: whoever is first may have it. */
  wake(id: string): void {
    const line = this.#lines.get(id);
    if (line !== undefined) this.#wakeLine(id, line);
  }

  close(): void {
    for (const { waiters } of this.#lines.values())
      for (let first = waiters.first; first !== undefined; first = waiters.first)
        first.item.reject(new ClosedError(`the rate limiter ${this.limiter}`), "closed");
  }

  #line(id: string): Line {
    let line = this.#lines.get(id);
    if (line === undefined) {
      line = { waiters: new FairLine(), timer: undefined, isAsking: false, refusal: undefined };
      this.#lines.set(id, line);
    }
    return line;
  }

  #wakeLine(id: string, line: Line): void {
    line.timer?.cancel();
    line.timer = undefined;
    if (!line.isAsking) void this.#serve(id, line);
  }

  /** Asks for the first, and for each that is first after it, until one is refused. Never rejects. */
  async #serve(id: string, line: Line): Promise<void> {
    line.isAsking = true;
    for (let place = line.waiters.first; place !== undefined; place = line.waiters.first) {
      const { item: waiter } = place;
      try {
        const decision = await waiter.ask();
        if (decision.allowed) {
          waiter.resolve(decision);
          continue;
        }
        // Left or overtaken meanwhile: it is another's turn.
        if (line.waiters.first !== place) continue;
        line.isAsking = false;
        this.#sleep(id, line, place, decision);
        return;
      } catch (error) {
        waiter.reject(error, "failed");
      }
    }
    line.isAsking = false;
    this.#lines.delete(id);
  }

  /** Sleeps until the first can take; one that would sleep beyond its deadline is told at once. */
  #sleep(id: string, line: Line, { item: waiter }: Place<Waiter>, refusal: Refused): void {
    const { retryAfterMs, limit } = refusal;
    line.refusal = refusal;
    // A place can come free long before its lease is over, and other processes do not tell us.
    const isGuess = limit.algorithm === "concurrency";
    if (!isGuess && this.clock.monotonic() + retryAfterMs >= waiter.since + waiter.deadlineMs) {
      waiter.reject(new RateLimitedError(this.limiter, limit.name, retryAfterMs), "refused");
      return;
    }
    const sleepMs = isGuess ? Math.min(retryAfterMs, PLACE_POLL_MS) : retryAfterMs;
    line.timer = this.clock.setTimer(sleepMs, () => this.#wakeLine(id, line), { keepAlive: true });
  }

  #tooLate({ refusal }: Line, { deadlineMs }: WaitRequest): Error {
    return refusal === undefined
      ? new TimeoutError(`waiting for the rate limiter ${this.limiter}`, deadlineMs)
      : new RateLimitedError(this.limiter, refusal.limit.name, refusal.retryAfterMs);
  }

  #tell(since: number, outcome: RateLimitWaitedEvent["outcome"]): void {
    if (waited.hasSubscribers)
      waited.publish({ limiter: this.limiter, outcome, waitedMs: this.clock.monotonic() - since });
  }
}
