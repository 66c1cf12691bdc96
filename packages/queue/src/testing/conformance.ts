// The store contract as tests, for any runner that has `describe` and `it`.
import type { ConformanceRunner } from "@holdfast/core/testing";
import { cancelClauses } from "./clauses/cancel.ts";
import { checkpointClauses } from "./clauses/checkpoints.ts";
import { childClauses } from "./clauses/children.ts";
import { closeClauses } from "./clauses/close.ts";
import { deadLetterClauses } from "./clauses/dead-letters.ts";
import { enqueueClauses } from "./clauses/enqueue.ts";
import { eventClauses } from "./clauses/events.ts";
import { expiryClauses } from "./clauses/expiry.ts";
import { groupLimitClauses } from "./clauses/group-limits.ts";
import { groupClauses } from "./clauses/groups.ts";
import { leaseClauses } from "./clauses/leases.ts";
import { orderClauses } from "./clauses/order.ts";
import { oversightClauses } from "./clauses/oversight.ts";
import { retentionClauses } from "./clauses/retention.ts";
import { scheduleClauses } from "./clauses/schedules.ts";
import { settleClauses } from "./clauses/settle.ts";
import { tenantClauses } from "./clauses/tenants.ts";
import { waitingClauses } from "./clauses/waiting.ts";
import { waitClauses } from "./clauses/waits.ts";
import { zombieClauses } from "./clauses/zombies.ts";
import type { Clause, QueueStoreSubject } from "./trial.ts";
import { Trial } from "./trial.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  enqueue: enqueueClauses,
  "the order of claims": orderClauses,
  "the turns of tenants": tenantClauses,
  groups: groupClauses,
  "the limits of groups": groupLimitClauses,
  leases: leaseClauses,
  "writes under a lease that is not held": zombieClauses,
  settlements: settleClauses,
  checkpoints: checkpointClauses,
  "tasks that wait": waitingClauses,
  "parents and children": childClauses,
  cancel: cancelClauses,
  expiry: expiryClauses,
  events: eventClauses,
  waits: waitClauses,
  "dead letters": deadLetterClauses,
  retention: retentionClauses,
  schedules: scheduleClauses,
  oversight: oversightClauses,
  close: closeClauses,
};

/**
 * Declares the tests that every {@link QueueStore} passes. Each makes a store of its own.
 *
 * @example
 * ```ts no-run: needs a test runner
 * import { memoryStore } from "@holdfast/queue";
 * import { queueStoreConformance } from "@holdfast/queue/testing";
 * import { manualClock, type ManualClock } from "@holdfast/core/testing";
 * import { describe, it } from "node:test";
 *
 * let clock: ManualClock;
 * queueStoreConformance(
 *   { describe, it },
 *   {
 *     make: () => memoryStore({ clock: (clock = manualClock()) }),
 *     advance: (ms) => clock.advance(ms),
 *   },
 * );
 * ```
 */
export function queueStoreConformance(runner: ConformanceRunner, subject: QueueStoreSubject): void {
  runner.describe("the store contract of queues", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses) runner.it(clause.title, () => tried(clause, subject));
      });
  });
}

async function tried({ check }: Clause, { make, advance }: QueueStoreSubject): Promise<void> {
  const store = await make();
  try {
    await check(new Trial(store, advance));
  } finally {
    await store.close();
  }
}
