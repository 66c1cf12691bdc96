// The contract of circuit stores as tests, for any runner that has `describe` and `it`.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { ConformanceError, ensure } from "@holdfast/core/testing";
import { hasCode } from "@holdfast/core";
import { probeClauses } from "./probe-clauses.ts";
import type { CircuitStoreSubject, Clause } from "./trial.ts";
import { Trial } from "./trial.ts";
import { voteClauses } from "./vote-clauses.ts";
import { watchClauses } from "./watch-clauses.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  votes: voteClauses,
  probes: probeClauses,
  "those who watch": watchClauses,
};

/**
 * Declares the tests that every {@link CircuitStore} passes.
 *
 * @example
 * ```ts no-run: needs a test runner
 * import { memoryCircuitStore } from "@holdfast/breaker";
 * import { circuitStoreConformance } from "@holdfast/breaker/testing";
 * import { manualClock } from "@holdfast/core/testing";
 * import { describe, it } from "node:test";
 *
 * const clock = manualClock();
 * circuitStoreConformance(
 *   { describe, it },
 *   {
 *     make: () => memoryCircuitStore({ clock, keep: "10s" }),
 *     keepMs: 10_000,
 *     advance: (ms) => clock.advance(ms),
 *   },
 * );
 * ```
 */
export function circuitStoreConformance(runner: ConformanceRunner, subject: CircuitStoreSubject): void {
  runner.describe("the contract of circuit stores", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("close", () => {
      runner.it("ends the store: later calls reject, and nobody is told anything", () => closes(subject));
    });
  });
}

async function tried({ check, exact }: Clause, subject: CircuitStoreSubject): Promise<void> {
  const store = await subject.make();
  try {
    // A server's clock goes on between two calls: such a clause cannot be tried on it.
    if (exact !== true || store.traits.clock === "caller") await check(new Trial(store, subject));
  } finally {
    await store.close();
  }
}

async function closes(subject: CircuitStoreSubject): Promise<void> {
  const store = await subject.make();
  let told = 0;
  store.watch({ changed: () => (told += 1), lost: () => (told += 1) });
  await store.close();
  await store.close();
  const before = told;
  const trial = new Trial(store, subject);
  const calls = [() => trial.vote("a"), () => store.read(trial.key)];
  for (const call of calls) await refusesClosed(call);
  await refusesClosed(async () => store.watch({ changed: () => {}, lost: () => {} }));
  ensure(told === before, "a closed store tells nobody anything");
}

async function refusesClosed(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (hasCode(error, "CLOSED")) return;
    throw new ConformanceError("a closed store rejects with CLOSED", { cause: error });
  }
  throw new ConformanceError("a closed store takes no more calls");
}
