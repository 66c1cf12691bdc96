// One class per condition that whoever opens a journal would handle differently.
import { HoldfastError } from "@holdfast/core";

/** A process that is alive has the journal already. `code: "JOURNAL_LOCKED"`. */
export class JournalLockedError extends HoldfastError {
  override readonly code = "JOURNAL_LOCKED";

  constructor(
    readonly path: string,
    /** Of the process that has it. */
    readonly pid: number,
  ) {
    super(`the journal ${path} belongs to process ${pid}: a journal has one owner at a time`);
  }

  protected override problemDetail(): string {
    return "the journal belongs to another process";
  }
}

/**
 * The file is damaged before its end, or is no journal: nothing of it was changed. `code: "JOURNAL_DAMAGED"`. A record that
 * a crash has torn at the end is no damage.
 */
export class JournalDamagedError extends HoldfastError {
  override readonly code = "JOURNAL_DAMAGED";

  constructor(
    readonly path: string,
    /** Of the first byte that is wrong. */
    readonly offset: number,
  ) {
    super(`the journal ${path} is damaged at byte ${offset}`);
  }

  protected override problemDetail(): string {
    return "the journal is damaged";
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { offset: this.offset };
  }
}

/**
 * The disk has refused a write: it is full, or broken. What was not acknowledged may be lost, and every later call is
 * rejected with this until the journal is opened again. `code: "JOURNAL_FAILED"`.
 */
export class JournalFailedError extends HoldfastError {
  override readonly code = "JOURNAL_FAILED";
  override readonly status = 503;

  constructor(
    readonly path: string,
    cause: Error,
  ) {
    super(`the journal ${path} could not be written: ${cause.message}; it has to be opened again`, { cause });
  }

  protected override problemDetail(): string {
    return "the journal could not be written";
  }
}
