// What the log is told of a claim, and how long until the next attempt.
import type { Backoff, Random } from "@holdfast/core";
import type { Claim, Settlement } from "./log.ts";

/** What a claim ends with. */
type Ending =
  | { readonly kind: "written" | "released" }
  | { readonly kind: "dead"; readonly error: string }
  | { readonly kind: "failed"; readonly delayMs: number; readonly counts: boolean; readonly error: string };

export function settlementOf({ key, fence, version }: Claim, ending: Ending): Settlement {
  return { key, fence, version, ...ending } as Settlement;
}

/** The backoff's wait, whose state is found again from the start: the log knows only how many attempts there were. */
export function delayAfter(attempt: number, backoff: Backoff, random: Random): number {
  let delayMs = 0;
  let state = 0;
  for (let failures = 1; failures <= attempt; failures += 1)
    ({ delayMs, state } = backoff.next(failures, state, random));
  return delayMs;
}
