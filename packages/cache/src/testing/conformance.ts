// The suite that every store of shared values passes.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { ConformanceError } from "@holdfast/core/testing";
import { changeClauses } from "./change-clauses.ts";
import { invalidationClauses } from "./invalidation-clauses.ts";
import { leaseClauses } from "./lease-clauses.ts";
import type { CacheStoreSubject, Clause } from "./trial.ts";
import { Trial } from "./trial.ts";
import { valueClauses } from "./value-clauses.ts";
import { writeClauses } from "./write-clauses.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  "what is kept": valueClauses,
  "who loads": leaseClauses,
  "what is invalidated": invalidationClauses,
  "who writes": writeClauses,
  "what is told": changeClauses,
};

/**
 * Registers the suite with a test runner. Each test opens a store of its own and closes it.
 *
 * @example
 * ```ts no-run: registers tests
 * import { memoryCacheStore } from "@holdfast/cache";
 * import { cacheStoreConformance } from "@holdfast/cache/testing";
 * import { manualClock } from "@holdfast/core/testing";
 * import { describe, it } from "vitest";
 *
 * const clock = manualClock();
 * cacheStoreConformance(
 *   { describe, it },
 *   { make: () => memoryCacheStore({ clock }), advance: (ms) => clock.advance(ms) },
 * );
 * ```
 */
export function cacheStoreConformance(runner: ConformanceRunner, subject: CacheStoreSubject): void {
  runner.describe("keeps the contract of a store of shared values", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("close", () => {
      runner.it("ends the store: later calls reject", () => closes(subject));
    });
  });
}

async function tried({ check }: Clause, subject: CacheStoreSubject): Promise<void> {
  const store = await subject.make();
  try {
    await check(new Trial(store, subject));
  } finally {
    await store.close();
  }
}

async function closes(subject: CacheStoreSubject): Promise<void> {
  const store = await subject.make();
  const trial = new Trial(store, subject);
  await trial.read("a");
  await store.close();
  await store.close();
  try {
    await trial.read("a");
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "CLOSED") return;
    throw new ConformanceError("a closed store rejects with CLOSED", { cause: error });
  }
  throw new ConformanceError("a closed store takes no more calls");
}
