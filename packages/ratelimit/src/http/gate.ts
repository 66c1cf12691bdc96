// What becomes of one request, whatever framework it came through.
import { hasCode, HoldfastError, isHoldfastError, optionsOf, retryAfterHeader } from "@holdfast/core";
import type { Problem } from "@holdfast/core";
import type { RateLimiter, SubjectOf } from "../contract.ts";
import type { Decision } from "../decision.ts";
import { RateLimitedError } from "../errors.ts";
import type { Limit } from "../limits/limit.ts";
import type { Cost } from "../store.ts";
import type { Field, FieldSet } from "./fields.ts";
import { rateLimitFields } from "./fields.ts";
import type { KeyedRequest, RequestKey } from "./request-keys.ts";
import { storableKey } from "./request-keys.ts";

export interface RateLimitHttpOptions<By extends string = "key"> {
  readonly limiter: RateLimiter<By>;
  /** Whom a request counts against: `byIp()`, `byHeader("x-api-key")`, or one for each thing that limits count `by`. */
  readonly key: RequestKey | Readonly<Record<By, RequestKey>>;
  /**
   * What becomes of requests without a key: `"share"` one count, under the key `-`, or `"refuse"` them with 400.
   * @defaultValue "share"
   */
  readonly withoutKey?: "share" | "refuse";
  /** What a request costs. @defaultValue 1 */
  readonly cost?: Cost | ((request: KeyedRequest) => Cost | Promise<Cost>);
  /** Other numbers for this request, such as those of a customer's plan. */
  readonly limits?: (
    request: KeyedRequest,
  ) => readonly Limit[] | undefined | Promise<readonly Limit[] | undefined>;
  /** Requests that are not counted. @defaultValue none */
  readonly skip?: (request: KeyedRequest) => boolean | Promise<boolean>;
  /** Keys that are answered with 403, before any store is asked. */
  readonly deny?: ReadonlySet<string> | ((key: string) => boolean | Promise<boolean>);
  /** Headers that tell the client how it stands. @defaultValue "both" */
  readonly fields?: FieldSet;
}

/** What to do with a request. */
export interface GateAnswer {
  /** For the answer, whoever gives it. */
  readonly fields: readonly Field[];
  /** The answer, when the request is not to be handled. */
  readonly refusal: Problem | undefined;
  /** To be called when the request has been answered: gives places of `concurrency` limits back. */
  readonly done: () => void;
}

export type Gate = (request: KeyedRequest) => Promise<GateAnswer>;

/** A key is on the deny list. `code: "DENIED"`, 403. */
export class DeniedError extends HoldfastError {
  override readonly code = "DENIED";
  override readonly status = 403;

  constructor() {
    super("requests of this client are not served");
  }
}

/** A request has no key. `code: "RATE_LIMIT_KEY_MISSING"`, 400. */
export class RateLimitKeyMissingError extends HoldfastError {
  override readonly code = "RATE_LIMIT_KEY_MISSING";
  override readonly status = 400;

  constructor() {
    super("the request does not say whom it is from");
  }
}

const NOTHING: GateAnswer = { fields: [], refusal: undefined, done: () => {} };

/** The problem type of draft-ietf-httpapi-ratelimit-headers. */
const QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/** The key of those who have none. Whoever calls himself so shares their count. */
const SHARED_KEY = "-";

/** @throws InvalidOptionError when an option is out of range. */
export function rateLimitGate<By extends string>(owner: string, options: RateLimitHttpOptions<By>): Gate {
  const check = optionsOf(owner);
  check.object("options", options);
  const { limiter, key, skip, deny, limits } = options;
  if (typeof limiter?.take !== "function") check.refuse("limiter", limiter, "made by rateLimiter({ … })");
  const fieldSet = check.oneOf("fields", options.fields, ["both", "ietf", "legacy", "none"], "both");
  const withoutKey = check.oneOf("withoutKey", options.withoutKey, ["share", "refuse"], "share");
  const keys = keysOf(owner, limiter, key);
  const costOf = typeof options.cost === "function" ? options.cost : (): Cost => (options.cost ?? 1) as Cost;
  const isDenied = typeof deny === "function" ? deny : (text: string) => deny?.has(text) ?? false;

  const subjectOf = async (request: KeyedRequest): Promise<Readonly<Record<string, string>>> => {
    const subject: Record<string, string> = {};
    for (const [by, keyOf] of keys) {
      const text = await keyOf(request);
      if (text === undefined || text === "") {
        if (withoutKey === "refuse") throw new RateLimitKeyMissingError();
        subject[by] = SHARED_KEY;
      } else {
        if (await isDenied(text)) throw new DeniedError();
        subject[by] = await storableKey(text);
      }
    }
    return subject;
  };

  return async (request) => {
    if (await skip?.(request)) return NOTHING;
    try {
      const subject = (await subjectOf(request)) as SubjectOf<By>;
      const others = await limits?.(request);
      const asked = { cost: await costOf(request), ...(others === undefined ? {} : { limits: others }) };
      const decision = await limiter.take(subject, asked);
      const fields = rateLimitFields(decision, fieldSet);
      if (decision.allowed)
        return { fields, refusal: undefined, done: limiter.hold(subject, decision, asked) };
      return { ...refusedWith(problemOf(limiter.name, decision)), fields };
    } catch (error) {
      // A cost or a key that is none is a mistake of the server's.
      if (!isHoldfastError(error) || hasCode(error, "INVALID_OPTION")) throw error;
      return refusedWith(error.toProblem());
    }
  };
}

/** Headers of a refusal besides those that tell how the client stands. */
export function refusalFields({ retryAfterMs }: Problem): readonly Field[] {
  const retryAfter: readonly Field[] =
    retryAfterMs === undefined ? [] : [["retry-after", retryAfterHeader(retryAfterMs)]];
  return [["content-type", "application/problem+json"], ["cache-control", "no-store"], ...retryAfter];
}

function refusedWith(refusal: Problem): GateAnswer {
  return { fields: [], refusal, done: () => {} };
}

function problemOf(limiter: string, { limit, retryAfterMs, standings }: Decision): Problem {
  const error = new RateLimitedError(limiter, limit.name, retryAfterMs);
  const violated = standings
    .filter((standing) => standing.retryAfterMs > 0)
    .map((standing) => standing.limit.name);
  return { ...error.toProblem(), type: QUOTA_EXCEEDED, "violated-policies": violated };
}

function keysOf<By extends string>(
  owner: string,
  limiter: RateLimiter<By>,
  key: RateLimitHttpOptions<By>["key"],
): readonly (readonly [string, RequestKey])[] {
  const check = optionsOf(owner);
  const scopes = [...new Set(limiter.limits.map(({ by }) => by))];
  if (typeof key === "function") {
    const [only, ...others] = scopes;
    if (others.length > 0) check.refuse("key", key, `one for each of ${scopes.join(", ")}`);
    return [[only!, key]];
  }
  check.object("key", key);
  return scopes.map((scope) => {
    const keyOf = Object.hasOwn(key, scope) ? key[scope] : undefined;
    return typeof keyOf === "function"
      ? [scope, keyOf]
      : check.refuse(`key.${scope}`, keyOf, "byIp() or its like");
  });
}
