// What ends the command with something other than success.
import { HoldfastError } from "@holdfast/core";

/** How the command ends: all is well; what was asked for is not so; it was asked wrongly; the store could not be asked. */
export const EXIT = { fine: 0, no: 1, usage: 2, unavailable: 3 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line cannot be understood. `code: "CLI_USAGE"`; the message names the option and the way out. */
export class CliUsageError extends HoldfastError {
  override readonly code = "CLI_USAGE";

  constructor(
    /** The option or argument that is wrong, as it is written. */
    readonly argument: string,
    what: string,
    fix: string,
  ) {
    super(`${argument}: ${what}. ${fix}`);
  }
}

/** A client library is needed and not installed. `code: "MISSING_PEER"`. */
export class MissingPeerError extends HoldfastError {
  override readonly code = "MISSING_PEER";

  constructor(
    readonly peer: string,
    option: string,
    options?: ErrorOptions,
  ) {
    super(`${option} needs the package ${peer}, which is not installed here: npm install ${peer}`, options);
  }
}

/** The store did not answer in time. `code: "CLI_TIMEOUT"`. */
export class CliTimeoutError extends HoldfastError {
  override readonly code = "CLI_TIMEOUT";

  constructor(limit: string) {
    super(`no answer within ${limit}; --timeout allows more`);
  }
}
