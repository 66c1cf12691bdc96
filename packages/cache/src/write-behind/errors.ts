// One class per condition that a caller of write-behind would handle differently.
import { HoldfastError } from "@holdfast/core";
import type { HoldfastErrorOptions } from "@holdfast/core";

/** The log holds as many keys as it may; nothing was kept. `code: "WRITE_BEHIND_FULL"`, 503. */
export class WriteBehindFullError extends HoldfastError {
  override readonly code = "WRITE_BEHIND_FULL";
  override readonly status = 503;

  constructor(
    readonly writeBehind: string,
    /** Keys in the log, dead letters included. */
    readonly keys: number,
    options?: HoldfastErrorOptions,
  ) {
    super(`${writeBehind}: ${keys} keys wait to be written or are dead letters; none more may`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { writeBehind: this.writeBehind, keys: this.keys };
  }
}

/**
 * A pending write cannot be decoded here, the `cause`: another version of the program may have made it. The source is not
 * asked instead, since it has an older value. `code: "WRITE_UNREADABLE"`.
 */
export class WriteUnreadableError extends HoldfastError {
  override readonly code = "WRITE_UNREADABLE";

  constructor(
    readonly writeBehind: string,
    options: HoldfastErrorOptions,
  ) {
    super(`${writeBehind}: a pending write cannot be decoded`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { writeBehind: this.writeBehind };
  }
}
