// Undoes the steps of a saga in reverse order, each until it is done, or until somebody has to help.
import { asError } from "@holdfast/core";
import { PermanentError } from "../errors.ts";
import type { TaskFailure } from "../task/task-status.ts";
import { isPermanent } from "../worker/failure.ts";
import { SagaParkedError, StepNotReachedError } from "./errors.ts";
import type { CompensationContext } from "./saga-contract.ts";
import type { SagaRecords } from "./saga-records.ts";
import type { StepEngine } from "./step-engine.ts";
import { leftBehind } from "./step-engine.ts";
import type { StepHost } from "./step-host.ts";

/** How a step is undone, and what is known of its outcome. */
export interface Undo {
  readonly compensate: (outcome: never, context: CompensationContext) => unknown;
  readonly outcome: unknown;
}

/** A saga that is being undone. */
export interface Undoing {
  readonly saga: string;
  readonly engine: StepEngine;
  readonly records: SagaRecords;
  readonly reason: TaskFailure;
  readonly maxTries: number;
  /** How a step is undone; `undefined` when the saga's body does not come to it any more. */
  readonly undoOf: (step: string) => Promise<Undo | undefined>;
}

/** Resolves when all is undone. Never settles when the task is parked: its run has ended. */
export async function undoAll(undoing: Undoing): Promise<void> {
  const { engine, records } = undoing;
  for (let [step] = records.open; step !== undefined; [step] = records.open) {
    const thrown = await undo(undoing, step);
    if (thrown === undefined) continue;
    if (isPermanent(thrown) || records.tries(step) >= undoing.maxTries) await park(undoing, step, thrown);
    const { clock } = engine.host.queue;
    const delayMs = engine.host.retryDelay(records.tries(step), thrown);
    await engine.waits.park({ dueAt: clock.now() + delayMs });
  }
  await recorded(engine, records.compensated, "compensated");
}

/** One try. Answers what it failed with. @throws the reason when the run was told to stop. */
function undo(undoing: Undoing, step: string): Promise<Error | undefined> {
  const { engine, records, maxTries } = undoing;
  return engine.waits.tracked<Error | undefined>(async () => {
    // A handler that has ended waits for the try that it is in, and no more.
    if (engine.host.isOver) return leftBehind();
    engine.throwIfStopped();
    // Cut in its last try, by a crash.
    if (records.tries(step) >= maxTries) return { value: new PermanentError("its tries are used up") };
    const known = await undoing.undoOf(step);
    // Counted before it begins, so that one that ends its worker is parked too.
    await engine.journal.record({ name: records.try(step), record: { kind: "undoing" } });
    const startedAt = engine.host.queue.clock.monotonic();
    try {
      if (known === undefined) throw new StepNotReachedError(undoing.saga, step);
      await known.compensate(known.outcome as never, new Compensating(undoing, step));
    } catch (thrown) {
      engine.throwIfStopped();
      engine.publish(`undo:${step}`, startedAt, "failed");
      return { value: asError(thrown) };
    }
    await engine.journal.record({ name: records.undone(step), record: { kind: "undone" } });
    engine.publish(`undo:${step}`, startedAt, "completed");
    return { value: undefined };
  });
}

async function park({ engine, records, saga }: Undoing, step: string, thrown: Error): Promise<never> {
  const { host } = engine;
  await recorded(engine, records.parked, "parked");
  host.fail(new SagaParkedError(host.claimed.id, saga, records.open, `"${step}": ${thrown.message}`));
  return new Promise(() => {});
}

function recorded(engine: StepEngine, name: string, kind: string): Promise<void> {
  return engine.waits.tracked(async () => ({
    value: await engine.journal.record({ name, record: { kind } }),
  }));
}

class Compensating implements CompensationContext {
  readonly idempotencyKey: string;
  readonly reason: string;
  readonly attempt: number;
  readonly fence: number;
  readonly #host: StepHost;

  constructor({ engine, records, reason }: Undoing, step: string) {
    const { claimed } = engine.host;
    this.#host = engine.host;
    this.idempotencyKey = `${claimed.id}/undo:${step}`;
    this.reason = reason.code;
    this.attempt = records.tries(step);
    this.fence = claimed.fence;
  }

  get signal(): AbortSignal {
    return this.#host.signal;
  }
}
