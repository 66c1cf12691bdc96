// Fetch middleware that limits requests and tells clients how they stand.
import type { Middleware } from "@holdfast/core";
import type { RateLimitHttpOptions } from "./gate.ts";
import { rateLimitGate, refusalFields } from "./gate.ts";
import type { Field } from "./fields.ts";

/**
 * Middleware that answers requests beyond the limits with 429 and `Retry-After`, as problem details (RFC 9457), and adds
 * the rate limit headers to every answer. When the store cannot be asked and the limiter is closed by that, it answers
 * 503. Of `concurrency` limits, a request holds its place until its handler has answered.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { withMiddleware } from "@holdfast/core";
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 * import { byHeader, rateLimit } from "@holdfast/ratelimit/http";
 *
 * const limiter = rateLimiter({ limits: tokenBucket({ capacity: 1, refill: 1, per: "1m" }) });
 * const handler = withMiddleware(() => new Response("hello"), rateLimit({ limiter, key: byHeader("x-api-key") }));
 * const ask = () => handler(new Request("http://localhost/", { headers: { "x-api-key": "k-1" } }));
 * (await ask()).headers.get("ratelimit"); // => '"token-bucket";r=0;t=60'
 * (await ask()).status; // => 429
 * ```
 */
export function rateLimit<By extends string = "key">(options: RateLimitHttpOptions<By>): Middleware {
  const gate = rateLimitGate("rateLimit", options);
  return async (request, next) => {
    const { fields, refusal, done } = await gate(request);
    if (refusal !== undefined)
      return new Response(JSON.stringify(refusal), {
        status: refusal.status,
        headers: [...refusalFields(refusal), ...fields].map(([name, value]): [string, string] => [
          name,
          value,
        ]),
      });
    try {
      return withFields(await next(request), fields);
    } finally {
      done();
    }
  };
}

/** A response from elsewhere may not be changed: then a copy is. */
function withFields(response: Response, fields: readonly Field[]): Response {
  if (fields.length === 0) return response;
  try {
    for (const [name, value] of fields) response.headers.set(name, value);
    return response;
  } catch {
    return withFields(new Response(response.body, response), fields);
  }
}
