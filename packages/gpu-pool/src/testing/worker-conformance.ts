// The contract of workers as tests, for any runner that has `describe` and `it`.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { workerClauses } from "./worker-clauses.ts";
import type { WorkerSubject } from "./worker-trial.ts";
import { WorkerTrial } from "./worker-trial.ts";

/**
 * Declares the tests that every `WorkerAdapter` passes, whatever runs its models. What cannot be shown with a subject,
 * because an input it needs is `false`, is left out.
 *
 * @example
 * ```ts no-run: needs a test runner and a worker module
 * import { childProcesses } from "@holdfast/gpu-pool/child-processes";
 * import { workerConformance } from "@holdfast/gpu-pool/testing";
 * import { describe, it } from "node:test";
 *
 * workerConformance(
 *   { describe, it },
 *   {
 *     make: () => childProcesses({ module: new URL("./models.js", import.meta.url), devices: 1 }),
 *     model: "double",
 *     input: (number) => number,
 *     isAnswer: (output, number) => output === 2 * number,
 *     bad: { input: "no number" },
 *     endless: false,
 *     streamed: false,
 *     fatal: false,
 *     refusesUnknown: true,
 *   },
 * );
 * ```
 */
export function workerConformance(runner: ConformanceRunner, subject: WorkerSubject): void {
  runner.describe("the contract of workers", () => {
    for (const { title, needs, check } of workerClauses)
      if (needs === undefined || (subject[needs] ?? false) !== false)
        runner.it(title, async () => {
          const trial = new WorkerTrial(subject, await subject.make());
          try {
            await check(trial);
          } finally {
            await trial.end();
          }
        });
  });
}
