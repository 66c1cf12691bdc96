// One class per condition that a caller of a limiter would handle differently.
import type { HoldfastErrorOptions } from "@holdfast/core";
import { HoldfastError } from "@holdfast/core";

/** It may not be done now. `code: "RATE_LIMITED"`, 429. */
export class RateLimitedError extends HoldfastError {
  override readonly code = "RATE_LIMITED";
  override readonly status = 429;

  constructor(
    readonly limiter: string,
    /** Name of the limit that refused. */
    readonly limit: string,
    /** How long until it can be done, if nobody takes any before, in milliseconds. */
    override readonly retryAfterMs: number,
    options?: HoldfastErrorOptions,
  ) {
    super(`${limiter}: limit "${limit}" is reached; try again in ${retryAfterMs} ms`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { limiter: this.limiter, limit: this.limit };
  }
}

/** As many wait already as may. `code: "RATE_LIMIT_QUEUE_FULL"`, 429. */
export class RateLimitQueueFullError extends HoldfastError {
  override readonly code = "RATE_LIMIT_QUEUE_FULL";
  override readonly status = 429;

  constructor(
    readonly limiter: string,
    readonly waiting: number,
  ) {
    super(`${limiter}: ${waiting} wait already; none more may`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { limiter: this.limiter, waiting: this.waiting };
  }
}
