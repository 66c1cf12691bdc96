// Runs a step or takes its outcome from the journal: what every kind of step is made of.
import { channel, fingerprintOf } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { PermanentError, UnserializableError } from "../errors.ts";
import { decodePayload } from "../task/payload.ts";
import { parse } from "../task/task.ts";
import { failureOf, isPermanent } from "../worker/failure.ts";
import { StepMismatchError } from "./errors.ts";
import { RunningStep } from "./step-context.ts";
import type { StepContext, StepEndedEvent, StepOptions } from "./step-contract.ts";
import type { StepHost } from "./step-host.ts";
import type { Entry, Prepared, StepRecord } from "./step-journal.ts";
import { StepJournal } from "./step-journal.ts";
import { StepNames } from "./step-names.ts";
import type { Reached } from "./step-waits.ts";
import { StepWaits } from "./step-waits.ts";

const stepEnded = /* @__PURE__ */ channel<StepEndedEvent>("queue", "step_ended");

/** The function of a step and what goes with it. */
export interface StepWork {
  /** The step's full name. */
  readonly step: string;
  readonly fn: (context: StepContext) => unknown;
  readonly options: StepOptions<never, unknown>;
  /** Aborts this step before its run does. */
  readonly signal?: () => AbortSignal;
  /** What is recorded together with its outcome. */
  readonly also?: readonly Entry[];
}

/** What a step comes to that must not begin: nothing, for ever. A promise of its own, so that nothing holds it. */
export function leftBehind(): Reached<never> {
  return { wait: new Promise<never>(() => {}) };
}

export class StepEngine {
  readonly names: StepNames = new StepNames();
  readonly journal: StepJournal;
  readonly waits: StepWaits;
  /** While a saga looks for what it has to undo, nothing new begins. */
  isHeld = false;

  constructor(readonly host: StepHost) {
    this.journal = new StepJournal(host);
    this.waits = new StepWaits(host);
  }

  /**
   * Begins a step: its record if there is one, `"new"` if there is none, `"left behind"` if it must not begin.
   *
   * @throws the reason when the run was told to stop; StepMismatchError, TooManyStepsError.
   */
  async begin(step: string, kind: string, input?: string): Promise<StepRecord | "new" | "left behind"> {
    this.throwIfStopped();
    await this.journal.load();
    await this.journal.writeFailures();
    const record = await this.journal.find(step);
    if (record !== undefined) return this.#matching(step, record, kind, input);
    this.host.checkLease();
    this.throwIfStopped();
    if (this.host.hasEnded || this.isHeld) return "left behind";
    this.journal.checkRoom();
    return "new";
  }

  /** A step that runs a function once. */
  async once<Output>(work: StepWork): Promise<Reached<Output>> {
    const { step, options } = work;
    const input = options.input === undefined ? undefined : await digestOf(options.input);
    const record = await this.begin(step, "run", input);
    if (record === "left behind") return leftBehind();
    if (record === "new") return { value: (await this.#run(work, input)) as Output };
    if (record.error !== undefined) throw failedBefore(record.error);
    return { value: (await this.#checked(step, record, options.output)) as Output };
  }

  throwIfStopped(): void {
    if (this.host.reason !== undefined) throw this.host.reason;
  }

  async #run(work: StepWork, input: string | undefined): Promise<unknown> {
    const { step, also = [] } = work;
    const { journal, host } = this;
    const startedAt = host.queue.clock.monotonic();
    const described = input === undefined ? { kind: "run" } : { kind: "run", input };
    let entries: readonly Prepared[];
    let value: unknown;
    try {
      const record = { ...described, value: await this.#call(work) };
      const all = [{ name: step, record }, ...also];
      entries = await Promise.all(all.map((entry) => journal.prepare(entry)));
      // As any later run will see it.
      const copy = decodePayload(entries[0]!.opened) as StepRecord;
      value = await this.#checked(step, copy, work.options.output);
    } catch (thrown) {
      this.publish(step, startedAt, "failed");
      // Whatever it threw, it may have thrown because it was told to stop.
      if (host.reason !== undefined || !isPermanent(thrown)) throw thrown;
      const error = failureOf(thrown);
      journal.noteFailure({ name: step, record: { ...described, error } });
      throw failedBefore(error, thrown);
    }
    try {
      await journal.write(...entries);
    } catch (error) {
      this.publish(step, startedAt, "refused");
      throw error;
    }
    this.publish(step, startedAt, "completed");
    // It is recorded; the next one is for the next run.
    this.throwIfStopped();
    return value;
  }

  #call({ step, fn, options, signal }: StepWork): unknown {
    const { host } = this;
    const idempotencyKey = `${host.claimed.id}/${step}`;
    const { policy } = options;
    const context = new RunningStep(host, idempotencyKey, signal);
    if (policy === undefined) return fn(context);
    // The policy's own signal: a timeout's, and the run's through it.
    return policy.run((call) => fn(new RunningStep(host, idempotencyKey, () => call.signal)), {
      signal: context.signal,
      idempotencyKey,
    });
  }

  #matching(step: string, record: StepRecord, kind: string, input: string | undefined): StepRecord {
    const { id } = this.host.claimed;
    if (record.kind !== kind) throw new StepMismatchError(id, step, "kind", record.kind, kind);
    if (record.input !== undefined && input !== undefined && record.input !== input)
      throw new StepMismatchError(id, step, "input", record.input, input);
    return record;
  }

  async #checked(step: string, record: StepRecord, schema: StandardSchemaV1 | undefined): Promise<unknown> {
    return parse(schema, record.value, `${this.host.claimed.name}/${step}`, "output");
  }

  publish(step: string, startedAt: number, outcome: StepEndedEvent["outcome"]): void {
    if (!stepEnded.hasSubscribers) return;
    const { queue, worker, claimed } = this.host;
    const { id, name: task, attempt, fence } = claimed;
    const durationMs = queue.clock.monotonic() - startedAt;
    stepEnded.publish({ queue: queue.name, worker, task, id, step, attempt, fence, durationMs, outcome });
  }
}

/** The same the first time and ever after, but for its cause. */
function failedBefore({ code, message }: { code: string; message: string }, cause?: unknown): PermanentError {
  return new PermanentError(message, cause === undefined ? { code } : { code, cause });
}

async function digestOf(input: unknown): Promise<string> {
  try {
    return await fingerprintOf(input);
  } catch (error) {
    throw new UnserializableError("the input of a step cannot be written as JSON", { cause: error });
  }
}
