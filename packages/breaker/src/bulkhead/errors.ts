// There is no room.
import { HoldfastError } from "@holdfast/core";

/** All slots are taken, and so is every place to wait; the task was not started. `code: "BULKHEAD_FULL"`. */
export class BulkheadFullError extends HoldfastError {
  override readonly code = "BULKHEAD_FULL";
  override readonly status = 503;

  /** @param retryAfterMs - When those who wait now will have had their turn, as far as that can be estimated. */
  constructor(
    /** Name of the policy. */
    readonly bulkhead: string,
    /** `full`: refused at once. `timeout`: it has waited for as long as it may. */
    readonly reason: "full" | "timeout",
    readonly running: number,
    readonly waiting: number,
    retryAfterMs?: number,
  ) {
    super(
      reason === "full"
        ? `${bulkhead} is full: ${running} running, ${waiting} waiting`
        : `${bulkhead} had no slot free in time: ${running} running`,
      { retryAfterMs },
    );
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { bulkhead: this.bulkhead, reason: this.reason };
  }
}
