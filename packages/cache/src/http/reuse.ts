// Whether a kept response answers a request: as it is, while it is validated, or only after that.
import type { Directives } from "./cache-control.ts";
import { msOf } from "./cache-control.ts";
import { currentAgeMs } from "./freshness.ts";
import type { StoredResponse } from "./stored-response.ts";

/** What to do with it. */
export type Reuse =
  | { readonly kind: "fresh"; readonly ageMs: number }
  /** Its time is over, and it may be served all the same; `isRenewed`: while a new one is fetched (RFC 5861 §3). */
  | { readonly kind: "stale"; readonly ageMs: number; readonly isRenewed: boolean }
  | { readonly kind: "validate"; readonly ageMs: number };

type Kept = Pick<
  StoredResponse,
  | "initialAgeMs"
  | "receivedAtMs"
  | "lifetimeMs"
  | "staleWhileRevalidateMs"
  | "staleIfErrorMs"
  | "isAlwaysValidated"
  | "isNeverStale"
  | "isSeldomStale"
>;

/** What a request with these directives is given of what is kept (RFC 9111 §4, §4.2.4, §5.2.1). */
export function reuseOf(kept: Kept, asked: Directives, nowMs: number): Reuse {
  const ageMs = currentAgeMs(kept.initialAgeMs, kept.receivedAtMs, nowMs);
  const staleMs = ageMs - kept.lifetimeMs;
  // A response is fresh while its lifetime is greater than its age (§4.2).
  const isFresh = staleMs < 0;
  if (kept.isAlwaysValidated || asked.has("no-cache")) return { kind: "validate", ageMs };
  // What the client wants to be younger than the response promises.
  const youngMs = msOf(asked, "max-age", 0) ?? Infinity;
  const leftMs = msOf(asked, "min-fresh", Infinity) ?? 0;
  const isYoung = ageMs <= youngMs;
  if (isFresh && isYoung && -staleMs >= leftMs) return { kind: "fresh", ageMs };
  if (kept.isNeverStale || isFresh || leftMs > 0) return { kind: "validate", ageMs };
  if (isYoung && staleMs < kept.staleWhileRevalidateMs) return { kind: "stale", ageMs, isRenewed: true };
  if (isYoung && staleMs <= clientAllowsMs(asked) && !kept.isSeldomStale)
    return { kind: "stale", ageMs, isRenewed: false };
  return { kind: "validate", ageMs };
}

/** Whether it may be served since validating it has failed (RFC 5861 §4). */
export function isServedOnError(kept: Kept, asked: Directives, nowMs: number): boolean {
  if (kept.isAlwaysValidated || kept.isNeverStale || asked.has("no-cache")) return false;
  const staleMs = currentAgeMs(kept.initialAgeMs, kept.receivedAtMs, nowMs) - kept.lifetimeMs;
  const askedMs = kept.isSeldomStale ? 0 : (msOf(asked, "stale-if-error", 0) ?? 0);
  return staleMs < Math.max(kept.staleIfErrorMs, askedMs);
}

/** How stale the client takes it: `max-stale` without an argument is any (§5.2.1.2). */
function clientAllowsMs(asked: Directives): number {
  if (asked.get("max-stale") === "") return Infinity;
  return msOf(asked, "max-stale", -1) ?? -1;
}
