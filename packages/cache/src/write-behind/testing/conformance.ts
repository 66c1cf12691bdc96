// The suite that every write log passes.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { ConformanceError, same } from "@holdfast/core/testing";
import { appendClauses } from "./append-clauses.ts";
import { claimClauses } from "./claim-clauses.ts";
import { deadClauses } from "./dead-clauses.ts";
import { settleClauses } from "./settle-clauses.ts";
import type { Clause, WriteLogSubject } from "./trial.ts";
import { Trial } from "./trial.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  "what is kept": appendClauses,
  "who writes": claimClauses,
  "what becomes of a claim": settleClauses,
  "dead letters": deadClauses,
};

/**
 * Registers the suite with a test runner. Each test opens a log of its own, without any key, and closes it.
 *
 * @example
 * ```ts no-run: registers tests
 * import { memoryWriteLog } from "@holdfast/cache";
 * import { writeLogConformance } from "@holdfast/cache/testing";
 * import { manualClock } from "@holdfast/core/testing";
 * import { describe, it } from "vitest";
 *
 * const clock = manualClock();
 * writeLogConformance(
 *   { describe, it },
 *   { make: () => memoryWriteLog({ clock }), advance: (ms) => clock.advance(ms) },
 * );
 * ```
 */
export function writeLogConformance(runner: ConformanceRunner, subject: WriteLogSubject): void {
  runner.describe("keeps the contract of write logs", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("calls", () => {
      runner.it("ends a call whose signal is aborted with the signal's reason, and does nothing", () =>
        aborts(subject),
      );
      runner.it("is closed: later calls reject", () => closes(subject));
    });
  });
}

async function withTrial(subject: WriteLogSubject, check: (trial: Trial) => Promise<void>): Promise<void> {
  const log = await subject.make();
  try {
    await check(new Trial(log, subject.advance, subject.unitMs ?? 1_000));
  } finally {
    await log.close();
  }
}

function tried({ check }: Clause, subject: WriteLogSubject): Promise<void> {
  return withTrial(subject, check);
}

function aborts(subject: WriteLogSubject): Promise<void> {
  return withTrial(subject, async ({ log }) => {
    const reason = new ConformanceError("left");
    const signal = AbortSignal.abort(reason);
    const append = { key: "a", value: "1", delayMs: 0, maxKeys: 10 };
    const calls: readonly (() => Promise<unknown>)[] = [
      () => log.append(append, { signal }),
      () => log.read("a", { signal }),
      () => log.claim({ limit: 1, leaseMs: 1_000, early: false }, { signal }),
      () => log.stats({ signal }),
      () => log.redrive(undefined, { signal }),
    ];
    for (const call of calls) same((await failureOf(call)) === reason, true, "the signal's reason");
    same(await log.read("a"), undefined, "what was not appended");
  });
}

async function closes(subject: WriteLogSubject): Promise<void> {
  const log = await subject.make();
  await log.close();
  await log.close();
  const calls: readonly (() => Promise<unknown>)[] = [
    () => log.append({ key: "a", value: "1", delayMs: 0, maxKeys: 10 }),
    () => log.read("a"),
    () => log.claim({ limit: 1, leaseMs: 1_000, early: false }),
  ];
  for (const call of calls)
    same(
      ((await failureOf(call)) as { readonly code?: unknown }).code,
      "CLOSED",
      "the error of a closed log",
    );
}

async function failureOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new ConformanceError("the call was to fail");
}
