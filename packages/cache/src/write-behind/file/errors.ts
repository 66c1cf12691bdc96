// One class per condition that whoever opens a log in a file would handle differently.
import { HoldfastError } from "@holdfast/core";

/** A process that is alive has the log already. `code: "WRITE_LOG_LOCKED"`. */
export class WriteLogLockedError extends HoldfastError {
  override readonly code = "WRITE_LOG_LOCKED";

  constructor(
    readonly path: string,
    /** Of the process that has it. */
    readonly pid: number,
  ) {
    super(`the write log ${path} belongs to process ${pid}: a log in a file has one owner`);
  }

  protected override problemDetail(): string {
    return "the write log belongs to another process";
  }
}

/**
 * The file is damaged before its end, or is no write log: nothing of it was changed. `code: "WRITE_LOG_DAMAGED"`. A record
 * that a crash has torn at the end is no damage.
 */
export class WriteLogDamagedError extends HoldfastError {
  override readonly code = "WRITE_LOG_DAMAGED";

  constructor(
    readonly path: string,
    /** Of the first byte that is wrong. */
    readonly offset: number,
  ) {
    super(
      `the write log ${path} is damaged at byte ${offset}; damaged: "skip" opens it without what is lost`,
    );
  }

  protected override problemDetail(): string {
    return "the write log is damaged";
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { offset: this.offset };
  }
}
