// What can go wrong with schedules.
import { HoldfastError } from "@holdfast/core";

/** The queue holds as many schedules as it may. `code: "TOO_MANY_SCHEDULES"`. */
export class TooManySchedulesError extends HoldfastError {
  override readonly code = "TOO_MANY_SCHEDULES";
  override readonly status = 503;

  constructor(
    readonly queue: string,
    readonly key: string,
  ) {
    super(`queue "${queue}" has no room for the schedule "${key}"`);
  }
}
