// Effect and completion in one transaction: neither is there without the other.
import { LeaseLostError, optionsOf } from "@holdfast/core";
import type { PgQueryable } from "@holdfast/core/postgres";
import { TaskCancelledError } from "../errors.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { QueueStore } from "../store/store.ts";
import { resultOf } from "../task/task-payload.ts";
import type { TaskDefinition } from "../task/task.ts";
import type { PostgresTaskStore } from "./postgres-task-store.ts";

/** What {@link completeWithin} needs to know. */
export interface CompleteWithinOptions<Output> {
  /** On a {@link postgresTaskStore} in the database of the transaction. */
  readonly queue: Queue;
  /** The connection on which the transaction is open. */
  readonly tx: PgQueryable;
  readonly task: TaskDefinition<never, unknown, Output, unknown>;
  /** The handler's context. */
  readonly context: { readonly id: string; readonly fence: number };
  readonly result: Output;
}

/**
 * Completes a handler's task in its own transaction, together with what that writes: if it commits the task is completed,
 * whatever becomes of the worker then; if not, the task is still the worker's. Meant for the last thing before the commit:
 * until then nobody gets the task. What the handler returns or throws after the commit changes nothing any more.
 *
 * @throws LeaseLostError, TaskCancelledError when the task is no longer the handler's: let that roll the transaction back.
 * @throws InvalidOptionError when the queue's store is another one.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Pool } from "pg";
 * import { transaction } from "@holdfast/core/postgres";
 * import { defineTask, handle, queue, worker } from "@holdfast/queue";
 * import { completeWithin, postgresTaskStore } from "@holdfast/queue/postgres";
 *
 * const pool = new Pool();
 * const payments = queue({ name: "payments", store: postgresTaskStore({ client: pool }) });
 * const debit = defineTask<{ account: string; cents: number }, { account: string; cents: number }, boolean>({ name: "debit" });
 * worker(payments, [
 *   handle(debit, (context) =>
 *     transaction(pool, async (tx) => {
 *       const { account, cents } = context.input;
 *       await tx.query("update accounts set cents = cents - $2 where id = $1", [account, cents]);
 *       await completeWithin({ queue: payments, tx, task: debit, context, result: true });
 *       return true;
 *     }),
 *   ),
 * ]);
 * ```
 */
export async function completeWithin<Output>(options: CompleteWithinOptions<Output>): Promise<void> {
  const { queue, tx, task, context, result } = options;
  const { id, fence } = context;
  const { store } = queue;
  if (!hasWithin(store))
    return optionsOf("completeWithin").refuse("queue", queue.name, "a queue on a postgresTaskStore");
  const payload = await resultOf(result, id, task, queue.payloads);
  const { outcomes } = await store
    .within(tx)
    .settle(queue.name, [{ id, fence, kind: "complete", result: payload }]);
  const [outcome] = outcomes;
  if (outcome === undefined || outcome.written) return;
  throw outcome.cause === "cancelled"
    ? new TaskCancelledError(id, outcome.reason)
    : new LeaseLostError(id, fence);
}

function hasWithin(store: QueueStore): store is PostgresTaskStore {
  return "within" in store && typeof store.within === "function";
}
