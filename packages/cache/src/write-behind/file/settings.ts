// Options of a write log in a file, checked.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";

export interface FileWriteLogOptions {
  /** Its folder has to be there; locks and, for a while, a new version of the file are put beside it. */
  readonly path: string;
  /**
   * When what is written is forced to the disk: before each acknowledgement, for those of one moment together; or at most so
   * long after. @defaultValue "always"
   */
  readonly fsync?: "always" | { readonly every: Duration };
  /** The file is written anew, without what is old, when it has this many bytes and twice those of the last time. From 1,024. @defaultValue 1_048_576 */
  readonly compactAbove?: number;
  /**
   * What to do when a record before the last ones is damaged: `refuse` to open it, or `skip` what is damaged and keep a copy of
   * the file beside it. @defaultValue "refuse"
   */
  readonly damaged?: "refuse" | "skip";
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `fileWriteLog`. */
export const FILE_WRITE_LOG_DEFAULTS: { readonly compactAbove: number } = { compactAbove: 1_048_576 };

export interface FileLogSettings {
  readonly path: string;
  /** 0: before each acknowledgement. */
  readonly syncEveryMs: number;
  readonly compactAbove: number;
  readonly skips: boolean;
  readonly clock: Clock;
}

/** @throws InvalidOptionError */
export function settingsOf(options: FileWriteLogOptions): FileLogSettings {
  const check = optionsOf("fileWriteLog");
  check.object("options", options);
  const { fsync = "always" } = options;
  if (fsync !== "always" && (typeof fsync !== "object" || fsync === null))
    check.refuse("fsync", fsync, '"always" or { every: a duration }');
  const range = { min: 1_024 };
  return {
    path: check.string("path", options.path, 4_096),
    syncEveryMs: fsync === "always" ? 0 : check.duration("fsync.every", fsync.every, { min: 1 }),
    compactAbove: check.integer(
      "compactAbove",
      options.compactAbove,
      range,
      FILE_WRITE_LOG_DEFAULTS.compactAbove,
    ),
    skips: check.oneOf("damaged", options.damaged, ["refuse", "skip"], "refuse") === "skip",
    clock: options.clock ?? systemClock,
  };
}
