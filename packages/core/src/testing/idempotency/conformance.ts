// The contract of idempotency stores as tests, for any runner that has `describe` and `it`.
import type { ConformanceRunner } from "../assert.ts";
import { ConformanceError } from "../assert.ts";
import { beginClauses } from "./begin-clauses.ts";
import type { Clause, IdempotencyStoreSubject } from "./trial.ts";
import { Trial } from "./trial.ts";
import { writeClauses } from "./write-clauses.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  "who is given a key": beginClauses,
  "writes under a lease": writeClauses,
};

/**
 * Declares the tests that every {@link IdempotencyStore} passes.
 *
 * @example
 * ```ts no-run: needs a test runner
 * import { memoryIdempotencyStore } from "@holdfast/core";
 * import { idempotencyStoreConformance, manualClock } from "@holdfast/core/testing";
 * import { describe, it } from "node:test";
 *
 * const clock = manualClock();
 * idempotencyStoreConformance(
 *   { describe, it },
 *   { make: () => memoryIdempotencyStore({ clock }), advance: (ms) => clock.advance(ms) },
 * );
 * ```
 */
export function idempotencyStoreConformance(
  runner: ConformanceRunner,
  subject: IdempotencyStoreSubject,
): void {
  runner.describe("the contract of idempotency stores", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("close", () => {
      runner.it("ends the store: later calls reject", () => closes(subject));
    });
  });
}

async function tried({ check, exact }: Clause, subject: IdempotencyStoreSubject): Promise<void> {
  const store = await subject.make();
  try {
    // A server's clock goes on between two calls: such a clause cannot be tried on it.
    if (exact !== true || store.traits.clock === "caller")
      await check(new Trial(store, subject.advance, subject.lockMs ?? 1_000));
  } finally {
    await store.close();
  }
}

async function closes({ make, advance }: IdempotencyStoreSubject): Promise<void> {
  const store = await make();
  await store.close();
  await store.close();
  try {
    await new Trial(store, advance, 1_000).begin();
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "CLOSED") return;
    throw new ConformanceError("a closed store rejects with CLOSED", { cause: error });
  }
  throw new ConformanceError("a closed store takes no more calls");
}
