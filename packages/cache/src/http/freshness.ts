// How old a response is, and how long it is fresh: the arithmetic of RFC 9111 §4.2, in milliseconds.
import type { Directives } from "./cache-control.ts";
import { msOf, secondsOf } from "./cache-control.ts";
import { parseHttpDate } from "./http-date.ts";

/** Statuses that may be taken as fresh without being told (RFC 9110 §15.1). */
const HEURISTIC = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);

/** Longest time for which anything is taken as fresh without being told: a day. */
const MAX_HEURISTIC_MS = 86_400_000;

/** When a response was asked for and received; wall time in milliseconds. */
export interface Exchange {
  readonly requestedAtMs: number;
  readonly receivedAtMs: number;
}

/** What a response says about time. */
export interface TimeFields {
  readonly status: number;
  readonly headers: Headers;
  readonly directives: Directives;
}

/**
 * How old a response was when it was received (RFC 9111 §4.2.3, `corrected_initial_age`). An `Age` that is no number is
 * not looked at; of several the first counts (§5.1).
 */
export function initialAgeMs(headers: Headers, { requestedAtMs, receivedAtMs }: Exchange): number {
  const dateMs = parseHttpDate(headers.get("date"), receivedAtMs);
  const apparentMs = dateMs === undefined ? 0 : Math.max(0, receivedAtMs - dateMs);
  const ageMs = secondsOf((headers.get("age") ?? "").split(",", 1)[0]!.trim()) ?? 0;
  const delayMs = Math.max(0, receivedAtMs - requestedAtMs);
  return Math.max(apparentMs, ageMs + delayMs);
}

/** How old it is now (RFC 9111 §4.2.3, `current_age`). A clock that was set back makes nothing younger than it was. */
export function currentAgeMs(initialMs: number, receivedAtMs: number, nowMs: number): number {
  return initialMs + Math.max(0, nowMs - receivedAtMs);
}

/**
 * How long it is fresh, as a shared cache sees it (RFC 9111 §4.2.1): `s-maxage`, else `max-age`, else `Expires` less `Date`.
 * `undefined` where it does not say.
 */
export function explicitLifetimeMs(
  { headers, directives }: TimeFields,
  receivedAtMs: number,
): number | undefined {
  const told = msOf(directives, "s-maxage", 0) ?? msOf(directives, "max-age", 0);
  if (told !== undefined) return told;
  const expires = headers.get("expires");
  if (expires === null) return undefined;
  // What is no date, "0" above all, is over (§5.3).
  const expiresMs = parseHttpDate(expires, receivedAtMs) ?? -Infinity;
  const dateMs = parseHttpDate(headers.get("date"), receivedAtMs) ?? receivedAtMs;
  return Math.max(0, expiresMs - dateMs);
}

/** How long it may be taken as fresh where it does not say (RFC 9111 §4.2.2): a share of the time since it was changed. */
export function heuristicLifetimeMs(
  { status, headers, directives }: TimeFields,
  receivedAtMs: number,
  share: number,
): number {
  const changedMs = parseHttpDate(headers.get("last-modified"), receivedAtMs);
  if (share === 0 || changedMs === undefined) return 0;
  if (!HEURISTIC.has(status) && !directives.has("public")) return 0;
  const dateMs = parseHttpDate(headers.get("date"), receivedAtMs) ?? receivedAtMs;
  return Math.min(MAX_HEURISTIC_MS, Math.max(0, Math.floor((dateMs - changedMs) * share)));
}
