// How often one address may ask: the API alone, so that health, metrics and the page are always there.
import type { Clock, Middleware } from "@holdfast/core";
import type { Limit } from "@holdfast/ratelimit";
import { rateLimiter } from "@holdfast/ratelimit";
import { byIp, rateLimit } from "@holdfast/ratelimit/http";
import { TASKS } from "./routes.ts";

/** Both limits are decided together: a request that is refused spends nothing of either. */
export function apiLimit(requests: Limit<"key">, submissions: Limit<"key">, clock: Clock): Middleware {
  const limiter = rateLimiter({ name: "api", limits: [requests, submissions], clock });
  return rateLimit({
    limiter,
    key: byIp(),
    skip: ({ url }) => !new URL(url).pathname.startsWith("/v1/"),
    cost: ({ method, url }) => ({
      [requests.name]: 1,
      [submissions.name]: method === "POST" && new URL(url).pathname === TASKS ? 1 : 0,
    }),
  });
}
