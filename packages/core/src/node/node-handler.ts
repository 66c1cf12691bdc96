// A Fetch handler as a node:http request listener.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Handler } from "../http/handler.ts";
import { problemResponse, RequestError } from "../http/problem-response.ts";
import { optionsOf } from "../options.ts";
import { notify } from "../telemetry/notify.ts";
import { toRequest } from "./request.ts";
import { writeResponse } from "./response.ts";

export interface NodeHandlerOptions {
  /** Largest request body passed on, in bytes; a larger one is answered with 413. @defaultValue 1_048_576 (1 MiB) */
  readonly maxBodyBytes?: number;
  /** Told of everything a handler throws that is not a refusal of the request. What it throws changes nothing. */
  readonly onError?: (error: unknown, request: Request | undefined) => unknown;
}

/** What `http.createServer` and Express take. */
export type NodeListener = (message: IncomingMessage, response: ServerResponse) => void;

/** Bytes of a request body that a handler may hold. */
export const DEFAULT_MAX_BODY_BYTES = 1_048_576;

/**
 * A listener for an existing `node:http` server, or a route of Express, that answers with a Fetch handler. What
 * the handler throws becomes problem details; nothing it does ends the process.
 *
 * In Express, put it in front of `express.json()`: a handler that reads a body which was read before fails with a
 * `BodyTakenError`. And give it the whole path, `app.all(["/tasks", "/tasks/{*path}"], nodeHandler(api))`: `app.use("/tasks", …)`
 * takes the path's beginning away.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function nodeHandler(handler: Handler, options: NodeHandlerOptions = {}): NodeListener {
  const check = optionsOf("nodeHandler");
  const maxBodyBytes = check.integer(
    "maxBodyBytes",
    options.maxBodyBytes,
    { min: 0 },
    DEFAULT_MAX_BODY_BYTES,
  );
  const onError = check.function("onError", options.onError);
  return (message, response) => void answer(handler, message, response, maxBodyBytes, onError);
}

async function answer(
  handler: Handler,
  message: IncomingMessage,
  to: ServerResponse,
  maxBodyBytes: number,
  onError: NodeHandlerOptions["onError"],
): Promise<void> {
  const gone = new AbortController();
  to.once("close", () => {
    if (!to.writableFinished) gone.abort(new RequestError(499, "CLIENT_GONE", "the client has gone"));
  });
  let request: Request | undefined;
  let response: Response;
  try {
    request = toRequest(message, maxBodyBytes, gone.signal);
    response = await handler(request);
  } catch (error) {
    response = problemResponse(refusalIn(error) ?? error);
    if (response.status >= 500) report(onError, error, request);
  }
  // A body nobody has read stands in the way of the next request on this connection.
  if (!message.complete) to.setHeader("connection", "close");
  try {
    await writeResponse(response, to);
  } catch (error) {
    to.destroy();
    report(onError, error, request);
  }
  if (!message.complete) message.resume();
}

// Reading a body beyond the limit fails inside the handler, which may have wrapped the refusal.
function refusalIn(error: unknown): RequestError | undefined {
  let candidate = error;
  for (let depth = 0; depth < 4 && candidate instanceof Error; depth += 1) {
    if (candidate instanceof RequestError) return candidate;
    candidate = candidate.cause;
  }
  return undefined;
}

function report(onError: NodeHandlerOptions["onError"], error: unknown, request: Request | undefined): void {
  notify(onError && ((failure: unknown) => onError(failure, request)), error);
}
