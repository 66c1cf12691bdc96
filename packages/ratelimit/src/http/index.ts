// @holdfast/ratelimit/http: limits on requests, and headers that tell clients how they stand.
export { BY_IP_DEFAULTS, byIp } from "./by-ip.ts";
export type { ByIpOptions } from "./by-ip.ts";
export { rateLimitFields } from "./fields.ts";
export type { Field, FieldSet } from "./fields.ts";
export { expressRateLimit, fastifyRateLimit, honoRateLimit } from "./frameworks.ts";
export type {
  ExpressMiddleware,
  FastifyHook,
  HonoMiddleware,
  NodeRequest,
  NodeResponse,
} from "./frameworks.ts";
export { DeniedError, RateLimitKeyMissingError } from "./gate.ts";
export type { RateLimitHttpOptions } from "./gate.ts";
export { rateLimit } from "./rate-limit.ts";
export { byAll, byHeader } from "./request-keys.ts";
export type { KeyedRequest, RequestKey } from "./request-keys.ts";
