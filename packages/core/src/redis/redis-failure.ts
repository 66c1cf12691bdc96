// Which failures of Redis mean that it is not available, and whether the command may have had its effect.
import { StoreUnavailableError } from "../errors/errors.ts";

/** Why Redis was not available; `reason` of the `StoreUnavailableError`. */
export type RedisFailureReason =
  | "timeout"
  | "connection"
  | "read_only"
  | "loading"
  | "busy"
  | "cluster_down"
  | "moved"
  | "out_of_memory"
  | "no_replicas"
  | "persistence"
  | "too_many_clients";

// Each of them is answered before a command runs, so a script that gets one at its first write has changed nothing.
const REFUSALS: Readonly<Record<string, RedisFailureReason>> = {
  READONLY: "read_only",
  MASTERDOWN: "read_only",
  LOADING: "loading",
  BUSY: "busy",
  CLUSTERDOWN: "cluster_down",
  TRYAGAIN: "cluster_down",
  MOVED: "moved",
  ASK: "moved",
  OOM: "out_of_memory",
  NOREPLICAS: "no_replicas",
  MISCONF: "persistence",
};

// Redis 6 puts what a script was refused behind the place in the script: `…: @user_script: 1: -READONLY You can't …`.
const REFUSAL = new RegExp(`^(?:.*: -)?(${Object.keys(REFUSALS).join("|")}) `);

// The words of ioredis; it has no codes of its own.
const NEVER_SENT = /enableOfflineQueue|none of startup nodes|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENOENT/i;
const CONNECTION_LOST =
  /connection is (?:closed|aborted|discarded)|socket timeout|command timed out|cluster redirections|(?:cluster|node) is (?:ended|disconnect)|failed to refresh slots|ECONN|EPIPE|ETIMEDOUT/i;
const NETWORK_CODE = /^(?:E(?:CONN\w+|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)|NR_CLOSED)$/;

/** Whether the server does not know the script (any more). */
export function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}

/**
 * What to throw for an error of the client: a `StoreUnavailableError` when the server could not serve, the error
 * itself when the command was wrong (a bug in a script, WRONGTYPE, CROSSSLOT, a missing permission).
 */
export function redisFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreUnavailableError) return error;
  const { message } = error;
  if (error.name === "ReplyError") return refusalOf(error, message);
  const code = (error as { code?: unknown }).code;
  if (!(typeof code === "string" && NETWORK_CODE.test(code)) && !isConnectionLoss(error)) return error;
  const outcome = NEVER_SENT.test(message) ? "none" : "unknown";
  return new StoreUnavailableError("redis", message, { reason: "connection", outcome, cause: error });
}

function isConnectionLoss({ name, message }: Error): boolean {
  const named =
    name === "MaxRetriesPerRequestError" || name === "ClusterAllFailedError" || name === "AbortError";
  return named || NEVER_SENT.test(message) || CONNECTION_LOST.test(message);
}

function refusalOf(error: Error, message: string): unknown {
  const found = REFUSAL.exec(message)?.[1];
  const reason = found === undefined ? undefined : REFUSALS[found];
  if (reason !== undefined)
    return new StoreUnavailableError("redis", message, { reason, outcome: "none", cause: error });
  if (!message.includes("max number of clients")) return error;
  return new StoreUnavailableError("redis", message, {
    reason: "too_many_clients",
    outcome: "none",
    cause: error,
  });
}
