// Taken beforehand, settled when the true cost is known.
import { optionsOf } from "@holdfast/core";
import type { Reservation } from "./contract.ts";
import type { Allowed } from "./decision.ts";
import type { Limit } from "./limits/limit.ts";
import type { Cost, LedgerCall } from "./store.ts";
import { costFor } from "./store.ts";

interface Books {
  readonly refund: (call: LedgerCall) => Promise<void>;
  readonly spend: (call: LedgerCall) => Promise<void>;
}

/** What `reserved` took. What was not counted, since the store could not be asked, is not settled either. */
export function reservation(reserved: LedgerCall, decision: Allowed, books: Books): Reservation {
  let isOver = false;
  const settle = async (actual: Cost): Promise<void> => {
    const differences = reserved.limits.map((limit) => ({
      limit,
      more: actualOf(actual, limit, reserved) - costFor(reserved.cost, limit),
    }));
    if (isOver) return;
    isOver = true;
    if (decision.marks.length === 0) return;
    const back = costsWhere(differences, (more) => Math.max(0, -more));
    const beyond = costsWhere(differences, (more) => Math.max(0, more));
    if (back !== undefined) await books.refund({ ...reserved, cost: back });
    if (beyond !== undefined) await books.spend({ ...reserved, cost: beyond });
  };
  return { allowed: true, decision, settle, release: () => settle(0) };
}

/** Of a limit that is not named, what was reserved. */
function actualOf(actual: Cost, limit: Limit, { cost }: LedgerCall): number {
  const value = typeof actual === "number" ? actual : (actual[limit.name] ?? costFor(cost, limit));
  return optionsOf("settle").integer("cost", value, { min: 0 });
}

/** Costs by name; `undefined` when all are 0. */
function costsWhere(
  differences: readonly { readonly limit: Limit; readonly more: number }[],
  costOf: (more: number) => number,
): Record<string, number> | undefined {
  const costs = differences.map(({ limit, more }) => [limit.name, costOf(more)] as const);
  return costs.some(([, cost]) => cost > 0) ? Object.fromEntries(costs) : undefined;
}
