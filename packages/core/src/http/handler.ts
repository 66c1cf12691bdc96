// HTTP in terms of the Fetch standard: what every server here is written against.

/** Answers a request. Runs wherever `Request` and `Response` exist. */
export type Handler = (request: Request) => Response | Promise<Response>;

/** Wraps a handler: may answer itself, change the request, or change the answer. */
export type Middleware = (request: Request, next: Handler) => Response | Promise<Response>;

/**
 * A handler inside middleware, the first outermost.
 *
 * @example
 * ```ts
 * import { withMiddleware } from "@holdfast/core";
 *
 * const stamped = withMiddleware(
 *   () => new Response("hello"),
 *   async (request, next) => {
 *     const response = await next(request);
 *     response.headers.set("x-served-by", "holdfast");
 *     return response;
 *   },
 * );
 * const response = await stamped(new Request("http://localhost/"));
 * response.headers.get("x-served-by"); // => "holdfast"
 * ```
 */
export function withMiddleware(handler: Handler, ...middleware: readonly Middleware[]): Handler {
  return middleware.reduceRight<Handler>((next, one) => (request) => one(request, next), handler);
}
