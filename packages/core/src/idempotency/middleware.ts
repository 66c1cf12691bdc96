// The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header) as Fetch middleware.
import { hasCode, HoldfastError, isHoldfastError } from "../errors/holdfast-error.ts";
import { readBody } from "../http/body.ts";
import type { Handler, Middleware } from "../http/handler.ts";
import { problemResponse, RequestError } from "../http/problem-response.ts";
import { optionsOf } from "../options.ts";
import { idempotency } from "./idempotency.ts";
import type { OperationFailure } from "./operation-failure.ts";
import { defaultFailureRule } from "./operation-failure.ts";
import type { IdempotencyOptions } from "./options.ts";
import type { RecordedResponse } from "./recorded-response.ts";
import { keyOf, readResponse, replayed } from "./recorded-response.ts";
import { NotKept } from "./stored-result.ts";

export interface IdempotencyKeyOptions extends Omit<
  IdempotencyOptions<unknown>,
  "scope" | "onFailure" | "maxResultLength"
> {
  /**
   * Whose keys these are: the tenant, the account, from what authenticated the request. One client's key must never
   * answer with another client's response.
   */
  readonly scope: string | ((request: Request) => string | Promise<string>);
  /** Methods that take a key; others pass through. @defaultValue ["POST", "PATCH"] */
  readonly methods?: readonly string[];
  /** Whether a request without a key is refused with 400; else it passes through. @defaultValue true */
  readonly required?: boolean;
  /** Largest request body, in bytes; then 413. It is held in memory, to be compared. @defaultValue 1_048_576 */
  readonly maxBodyBytes?: number;
  /**
   * Largest response body kept, in bytes. A larger one is sent, and repeating its request is answered with 409.
   * @defaultValue 131_072
   */
  readonly maxResponseBytes?: number;
  /**
   * What a response means for its key. @defaultValue `"nothing"`, so that the client can try again, for 408, 409,
   * 425, 429 and 5xx; else `"final"`: it is kept and answered again
   */
  readonly onResponse?: (response: Response) => OperationFailure;
}

/** The defaults of `idempotencyKey`. */
export const IDEMPOTENCY_KEY_DEFAULTS: {
  readonly methods: readonly string[];
  readonly maxBodyBytes: number;
  readonly maxResponseBytes: number;
} = { methods: ["POST", "PATCH"], maxBodyBytes: 1_048_576, maxResponseBytes: 131_072 };

/** Statuses that say: not now, or not yet. */
const TRY_AGAIN = new Set([408, 409, 425, 429]);

/**
 * Middleware for the `Idempotency-Key` request header: the first request under a key is handled, every later one is
 * answered with its response and `Idempotency-Replayed: true`.
 *
 * Refuses, as problem details: 400 without a key, 422 (`IDEMPOTENCY_MISMATCH`) when the key was used for another
 * method, address or body, 409 with `Retry-After` (`IDEMPOTENCY_IN_FLIGHT`) while the first request is handled, 409
 * (`IDEMPOTENCY_IN_DOUBT`) when it is not known how that ended, 503 when the store cannot be asked.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { idempotencyKey, memoryIdempotencyStore, withMiddleware } from "@holdfast/core";
 *
 * let orders = 0;
 * const handler = withMiddleware(
 *   () => Response.json({ order: (orders += 1) }, { status: 201 }),
 *   idempotencyKey({ store: memoryIdempotencyStore(), scope: (request) => request.headers.get("x-tenant") ?? "none" }),
 * );
 * const place = () =>
 *   handler(new Request("http://shop/orders", { method: "POST", headers: { "idempotency-key": '"7b0c"' }, body: "5" }));
 * await (await place()).json(); // => { order: 1 }
 * await (await place()).json(); // => { order: 1 }
 * ```
 */
export function idempotencyKey(options: IdempotencyKeyOptions): Middleware {
  const check = optionsOf("idempotencyKey");
  const defaults = IDEMPOTENCY_KEY_DEFAULTS;
  const { scope, onResponse = responseKind } = options;
  const scopeOf = typeof scope === "function" ? scope : () => check.string("scope", scope);
  if (typeof scope !== "function") check.string("scope", scope);
  const methods = new Set(options.methods ?? defaults.methods);
  const required = check.boolean("required", options.required, true);
  const bytes = { min: 0, max: 2 ** 28 };
  const maxBody = check.integer("maxBodyBytes", options.maxBodyBytes, bytes, defaults.maxBodyBytes);
  const maxResponse = check.integer(
    "maxResponseBytes",
    options.maxResponseBytes,
    bytes,
    defaults.maxResponseBytes,
  );
  const keys = idempotency<unknown>({
    ...options,
    scope: "http",
    onFailure: (error, circumstances) => {
      if (error instanceof NotKeptResponse) return error.meaning;
      return defaultFailureRule(error instanceof HandlerFailure ? error.cause : error, circumstances);
    },
    // Base64, and room for the headers.
    maxResultLength: Math.ceil((maxResponse * 4) / 3) + 65_536,
  });

  const handle = async (request: Request, key: string, next: Handler): Promise<Response> => {
    const body = await readBody(request, maxBody);
    const repeatable = new Request(request, request.body === null ? {} : { body });
    let fresh: Response | undefined;
    const { value, replayed: isReplay } = await keys.run(
      {
        key,
        scope: check.string("scope", await scopeOf(request)),
        body: fingerprinted(request, body),
        signal: request.signal,
      },
      async () => {
        const { response, recorded } = await readResponse(await handled(next, repeatable), maxResponse);
        fresh = response;
        const meaning = onResponse(response);
        if (meaning !== "final") throw new NotKeptResponse(response, meaning);
        return recorded ?? new NotKept(`larger than ${maxResponse} bytes`);
      },
    );
    return isReplay || fresh === undefined ? replayed(value as RecordedResponse) : fresh;
  };

  return async (request, next) => {
    if (!methods.has(request.method)) return next(request);
    try {
      const header = request.headers.get("idempotency-key");
      if (header !== null) return await handle(request, keyOf(header.trim()), next);
      if (!required) return await next(request);
      throw new RequestError(400, "IDEMPOTENCY_KEY_REQUIRED", "the Idempotency-Key header is required here");
    } catch (error) {
      if (error instanceof NotKeptResponse) return error.response;
      // What a handler throws is answered by whoever answers that without this middleware.
      if (error instanceof HandlerFailure) throw error.cause;
      if (isHoldfastError(error) && !hasCode(error, "INVALID_OPTION")) return problemResponse(error);
      throw error;
    }
  };
}

/** Carries a response past the key that does not keep it. */
class NotKeptResponse extends HoldfastError {
  override readonly code = "RESPONSE_NOT_KEPT";

  constructor(
    readonly response: Response,
    readonly meaning: OperationFailure,
  ) {
    super(`a response of status ${response.status} is not kept`);
  }
}

/** Carries what a handler threw. */
class HandlerFailure extends HoldfastError {
  override readonly code = "HANDLER_FAILED";

  constructor(cause: unknown) {
    super("the handler failed", { cause });
  }
}

async function handled(next: Handler, request: Request): Promise<Response> {
  try {
    return await next(request);
  } catch (error) {
    throw new HandlerFailure(error);
  }
}

function responseKind({ status }: Response): OperationFailure {
  return status >= 500 || TRY_AGAIN.has(status) ? "nothing" : "final";
}

/** Method, address and body, none of which can pass for a part of another. */
function fingerprinted({ method, url }: Request, body: Uint8Array): Uint8Array {
  const { pathname, search } = new URL(url);
  const head = new TextEncoder().encode(`${JSON.stringify([method, pathname + search])}\n`);
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}
