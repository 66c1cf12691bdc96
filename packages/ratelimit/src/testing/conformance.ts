// The suite that every store of rate limits passes.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { ConformanceError } from "@holdfast/core/testing";
import { changeClauses } from "./change-clauses.ts";
import { keyClauses } from "./key-clauses.ts";
import { takeClauses } from "./take-clauses.ts";
import { timeClauses } from "./time-clauses.ts";
import type { Clause, RateLimitStoreSubject } from "./trial.ts";
import { Trial } from "./trial.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  "what is allowed": takeClauses,
  "what comes back, and when": timeClauses,
  "what is given back, blocked, reset": changeClauses,
  "what is counted apart": keyClauses,
};

/**
 * Registers the suite with a test runner. Each test opens a store of its own and closes it.
 *
 * @example
 * ```ts no-run: registers tests
 * import { manualClock } from "@holdfast/core/testing";
 * import { memoryRateLimitStore } from "@holdfast/ratelimit";
 * import { rateLimitStoreConformance } from "@holdfast/ratelimit/testing";
 * import { describe, it } from "vitest";
 *
 * const clock = manualClock();
 * rateLimitStoreConformance(
 *   { describe, it },
 *   { make: () => memoryRateLimitStore({ clock }), advance: (ms) => clock.advance(ms) },
 * );
 * ```
 */
export function rateLimitStoreConformance(runner: ConformanceRunner, subject: RateLimitStoreSubject): void {
  runner.describe("keeps the contract of a store of rate limits", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("close", () => {
      runner.it("ends the store: later calls reject", () => closes(subject));
    });
  });
}

async function tried({ check, exact, leases }: Clause, subject: RateLimitStoreSubject): Promise<void> {
  if (leases === true && subject.lends === true) return;
  const store = await subject.make();
  try {
    // A server's clock goes on between two calls: such a clause cannot be tried on it.
    if (exact !== true || store.traits.clock === "caller") await check(new Trial(store, subject));
  } finally {
    await store.close();
  }
}

async function closes(subject: RateLimitStoreSubject): Promise<void> {
  const store = await subject.make();
  const trial = new Trial(store, subject);
  const { book } = trial.bucket(5);
  await store.close();
  await store.close();
  try {
    await book.take();
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "CLOSED") return;
    throw new ConformanceError("a closed store rejects with CLOSED", { cause: error });
  }
  throw new ConformanceError("a closed store takes no more calls");
}
