// The same for Express, Fastify and Hono.
import { withRemoteAddress } from "@holdfast/core";
import type { GateAnswer, RateLimitHttpOptions } from "./gate.ts";
import { rateLimitGate, refusalFields } from "./gate.ts";
import { rateLimit } from "./rate-limit.ts";
import type { KeyedRequest } from "./request-keys.ts";

/** What is asked of a request of `node:http`, which Express and Fastify hand on. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

/** What is asked of a response of `node:http`. */
export interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** Middleware of Express 4 or 5, and of `connect`. */
export type ExpressMiddleware = (
  request: NodeRequest,
  response: NodeResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

/** An `onRequest` hook of Fastify 5. */
export type FastifyHook = (
  request: { readonly raw: NodeRequest },
  reply: {
    readonly raw: Pick<NodeResponse, "once">;
    header(name: string, value: string): unknown;
    code(status: number): { send(body: unknown): unknown };
  },
) => Promise<unknown>;

/** Middleware of Hono 4. */
export type HonoMiddleware = (
  context: { readonly req: { readonly raw: Request }; readonly env: unknown; res: Response },
  next: () => Promise<void>,
) => Promise<void>;

/**
 * {@link rateLimit} for Express. A place of a `concurrency` limit is held until the answer has been sent or the client
 * has gone.
 *
 * @example
 * ```ts no-run: needs Express
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 * import { byIp, expressRateLimit } from "@holdfast/ratelimit/http";
 * import express from "express";
 *
 * const limiter = rateLimiter({ limits: tokenBucket({ capacity: 100, refill: 10, per: "1s" }) });
 * const app = express();
 * app.use(expressRateLimit({ limiter, key: byIp() }));
 * ```
 */
export function expressRateLimit<By extends string = "key">(
  options: RateLimitHttpOptions<By>,
): ExpressMiddleware {
  const gate = rateLimitGate("expressRateLimit", options);
  return async (request, response, next) => {
    let answer: GateAnswer;
    try {
      answer = await gate(keyedRequest(request));
    } catch (error) {
      next(error);
      return;
    }
    const { fields, refusal, done } = answer;
    for (const [name, value] of fields) response.setHeader(name, value);
    if (refusal === undefined) {
      response.once("close", done);
      next();
      return;
    }
    for (const [name, value] of refusalFields(refusal)) response.setHeader(name, value);
    response.statusCode = refusal.status;
    response.end(JSON.stringify(refusal));
  };
}

/**
 * {@link rateLimit} as an `onRequest` hook of Fastify.
 *
 * @example
 * ```ts no-run: needs Fastify
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 * import { byIp, fastifyRateLimit } from "@holdfast/ratelimit/http";
 * import { fastify } from "fastify";
 *
 * const limiter = rateLimiter({ limits: tokenBucket({ capacity: 100, refill: 10, per: "1s" }) });
 * const app = fastify();
 * app.addHook("onRequest", fastifyRateLimit({ limiter, key: byIp() }));
 * ```
 */
export function fastifyRateLimit<By extends string = "key">(options: RateLimitHttpOptions<By>): FastifyHook {
  const gate = rateLimitGate("fastifyRateLimit", options);
  return async (request, reply) => {
    const { fields, refusal, done } = await gate(keyedRequest(request.raw));
    for (const [name, value] of fields) reply.header(name, value);
    if (refusal === undefined) {
      reply.raw.once("close", done);
      return undefined;
    }
    for (const [name, value] of refusalFields(refusal)) reply.header(name, value);
    return reply.code(refusal.status).send(JSON.stringify(refusal));
  };
}

/**
 * {@link rateLimit} for Hono. The address of the connection is known where Hono runs on `@hono/node-server`; elsewhere tell
 * `byIp` how to find it.
 *
 * @example
 * ```ts no-run: needs Hono
 * import { rateLimiter, tokenBucket } from "@holdfast/ratelimit";
 * import { byHeader, honoRateLimit } from "@holdfast/ratelimit/http";
 * import { Hono } from "hono";
 *
 * const limiter = rateLimiter({ limits: tokenBucket({ capacity: 100, refill: 10, per: "1s" }) });
 * const app = new Hono();
 * app.use(honoRateLimit({ limiter, key: byHeader("x-api-key") }));
 * ```
 */
export function honoRateLimit<By extends string = "key">(options: RateLimitHttpOptions<By>): HonoMiddleware {
  const middleware = rateLimit(options);
  return async (context, next) => {
    const { incoming } = (context.env ?? {}) as { readonly incoming?: NodeRequest };
    const request = withRemoteAddress(context.req.raw, incoming?.socket.remoteAddress);
    context.res = await middleware(request, async () => {
      await next();
      return context.res;
    });
  };
}

function keyedRequest({ method = "GET", url = "/", headers, socket }: NodeRequest): KeyedRequest {
  const get = (name: string): string | null => {
    const value = headers[name.toLowerCase()];
    return value === undefined ? null : typeof value === "string" ? value : value.join(", ");
  };
  return withRemoteAddress({ method, url, headers: { get } }, socket.remoteAddress);
}
