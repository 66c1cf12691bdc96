// Which failures of PostgreSQL mean that it is not available, and whether the statement may have had its effect.
import { StoreUnavailableError } from "../errors/errors.ts";

/** Why PostgreSQL was not available; `reason` of the `StoreUnavailableError`. */
export type PgFailureReason =
  | "timeout"
  | "connection"
  | "starting"
  | "shutting_down"
  | "read_only"
  | "too_many_connections"
  | "out_of_resources"
  | "locked"
  | "conflict";

type Failure = readonly [reason: PgFailureReason, outcome: "none" | "unknown"];

// "Appendix A. PostgreSQL Error Codes". A statement that was answered with an error has been rolled back.
const FAILURES: Readonly<Record<string, Failure>> = {
  "08001": ["connection", "none"],
  "08004": ["connection", "none"],
  "25006": ["read_only", "none"],
  "40001": ["conflict", "none"],
  "40P01": ["conflict", "none"],
  "40003": ["connection", "unknown"],
  "53300": ["too_many_connections", "none"],
  "55P03": ["locked", "none"],
  "57014": ["timeout", "none"],
  "57P01": ["shutting_down", "unknown"],
  "57P02": ["shutting_down", "unknown"],
  "57P03": ["starting", "none"],
  "57P05": ["connection", "unknown"],
};

const CLASSES: Readonly<Record<string, Failure>> = {
  "08": ["connection", "unknown"],
  "53": ["out_of_resources", "none"],
};

// How pg and postgres.js report a connection that is gone; the rest are codes of the host.
const CONNECTION_CODE =
  /^(?:E(?:CONN\w+|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)|ENOTFOUND|ENOENT|CONNECTION_\w+|CONNECT_TIMEOUT)$/;
// pg has no codes for these.
const MESSAGES: readonly (readonly [RegExp, Failure])[] = [
  [/is not queryable/, ["connection", "none"]],
  [
    /connection terminated|connection ended|timeout exceeded when trying to connect/i,
    ["connection", "unknown"],
  ],
  [/query read timeout/i, ["timeout", "unknown"]],
];

/** SQLSTATE of an error of any of the clients, or of the error that it wraps. */
export function sqlStateOf(error: unknown): string | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth += 1) {
    const { code } = cause as { code?: unknown };
    if (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}

/**
 * What to throw for an error of a client: a `StoreUnavailableError` when the server could not serve, the error
 * itself when the statement was wrong (a missing table or permission, a violated constraint).
 *
 * @param sent - Whether the statement had been handed to a connection.
 */
export function pgFailure(error: unknown, sent: boolean): unknown {
  if (!(error instanceof Error) || error instanceof StoreUnavailableError) return error;
  const failure = failureOf(error);
  if (failure === undefined) return error;
  const [reason, outcome] = failure;
  return new StoreUnavailableError("postgres", error.message, {
    reason,
    outcome: sent ? outcome : "none",
    cause: error,
  });
}

function failureOf(error: Error): Failure | undefined {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string") return MESSAGES.find(([words]) => words.test(error.message))?.[1];
  const found = FAILURES[code] ?? CLASSES[code.slice(0, 2)];
  if (found !== undefined && code.length === 5) return found;
  if (!CONNECTION_CODE.test(code)) return undefined;
  return ["connection", code === "ECONNREFUSED" ? "none" : "unknown"];
}
