// What callers are told of requests that end otherwise than by what their worker answers.
import {
  DeadlineExceededError,
  ModelUnavailableError,
  OutOfMemoryError,
  PoolSaturatedError,
  WorkerCrashedError,
} from "./errors.ts";
import type { RequestEvent } from "./observe.ts";
import type { PoolRequest } from "./pool-requests.ts";
import type { DropReason, SchedulerCommand } from "./scheduler/contract.ts";

/** A decision of the scheduler that is the end of a request, or will be. */
export type EndingCommand = SchedulerCommand<PoolRequest> & {
  readonly type: "refuse" | "drop" | "stop" | "lost";
};

export interface RequestEnd {
  readonly outcome: RequestEvent["outcome"];
  /** What its caller's promise is rejected with. */
  readonly reason: unknown;
}

/**
 * @param cause - Why a device went down, or what it said of its memory, where that is what ended the request; of one that was
 *   dropped, why no device is up.
 */
export function endOf(command: EndingCommand, cause: Error | undefined): RequestEnd {
  const { request } = command;
  const options = cause ? { cause } : {};
  switch (command.type) {
    case "refuse":
      return {
        outcome: "refused",
        reason: new PoolSaturatedError(command.waiting, command.retryAfterMs, command.limit),
      };
    case "drop":
      if (command.why === "invalid") return { outcome: "failed", reason: command.cause };
      return stopped(request, command.why, "waiting", options);
    case "stop":
      return stopped(request, command.why, "running", {});
    case "lost":
      return command.why === "out-of-memory"
        ? { outcome: "failed", reason: new OutOfMemoryError(command.device, request.model, options) }
        : {
            outcome: "crashed",
            reason: new WorkerCrashedError(command.device, request.model, options),
          };
  }
}

/** It was taken back, is too late, or its model can be loaded nowhere. */
function stopped(
  request: PoolRequest,
  why: DropReason,
  phase: "waiting" | "running",
  options: ErrorOptions,
): RequestEnd {
  if (why === "cancelled") return { outcome: why, reason: request.signal?.reason };
  return why === "deadline"
    ? { outcome: why, reason: new DeadlineExceededError(request.model, phase, options) }
    : { outcome: "failed", reason: new ModelUnavailableError(request.model) };
}
