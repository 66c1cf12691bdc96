// What a client is told in headers: X-RateLimit-*, and RateLimit and RateLimit-Policy of the IETF draft.
import type { Decision, Standing } from "../decision.ts";

/** Which headers are sent. */
export type FieldSet = "both" | "ietf" | "legacy" | "none";

/** Name and value. */
export type Field = readonly [name: string, value: string];

/**
 * Headers for an answer. `RateLimit` tells of every limit what is left (`r`) and in how many seconds there will be more
 * (`t`); `RateLimit-Policy` its quota (`q`) and window (`w`), as structured fields (RFC 9651): draft-ietf-httpapi-ratelimit-headers.
 * `X-RateLimit-Limit` and `X-RateLimit-Remaining` are of the limit that decided. `X-RateLimit-Reset` is not sent: some
 * servers mean a time by it, others a duration.
 */
export function rateLimitFields({ limit, remaining, standings }: Decision, set: FieldSet): readonly Field[] {
  const fields: Field[] = [];
  if (set === "both" || set === "legacy")
    fields.push(["x-ratelimit-limit", String(limit.quota)], ["x-ratelimit-remaining", String(remaining)]);
  if (set === "both" || set === "ietf")
    fields.push(
      ["ratelimit-policy", standings.map(policyOf).join(", ")],
      ["ratelimit", standings.map(standingOf).join(", ")],
    );
  return fields;
}

/** A limit on how many at a time has no window. */
function policyOf({ limit: { name, quota, windowMs, algorithm } }: Standing): string {
  const window = algorithm === "concurrency" ? "" : `;w=${seconds(windowMs)}`;
  return `${stringOf(name)};q=${quota}${window}`;
}

function standingOf({ limit: { name }, remaining, growsInMs }: Standing): string {
  return `${stringOf(name)};r=${remaining}${growsInMs === 0 ? "" : `;t=${seconds(growsInMs)}`}`;
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}

/** RFC 9651 §4.1.6. Names of limits hold no other characters. */
function stringOf(name: string): string {
  return `"${name.replace(/[\\"]/g, "\\$&")}"`;
}
