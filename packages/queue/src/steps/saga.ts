// A saga: its body runs forward until it is done, or is looked through once more for what is to be undone.
import { asError, hasCode, optionsOf } from "@holdfast/core";
import { decodePayload } from "../task/payload.ts";
import type { TaskFailure } from "../task/task-status.ts";
import { failureOf, isPermanent } from "../worker/failure.ts";
import type { Undo } from "./compensations.ts";
import { undoAll } from "./compensations.ts";
import { SagaCancelledError, SagaCompensatedError, SagaDeadlineError } from "./errors.ts";
import type { Saga, SagaOptions, SagaStepOptions } from "./saga-contract.ts";
import { SAGA_DEFAULTS } from "./saga-contract.ts";
import { SagaRecords } from "./saga-records.ts";
import type { StepContext, StepOptions } from "./step-contract.ts";
import type { StepEngine } from "./step-engine.ts";
import { leftBehind } from "./step-engine.ts";
import type { StepRecord } from "./step-journal.ts";
import { eventCheckpoint } from "./step-names.ts";
import type { Reached } from "./step-waits.ts";

type Body = (saga: Saga) => unknown;
type AnyOptions = SagaStepOptions<never, never>;

/** One run of a saga's body; the latest one counts. */
interface BodyRun {
  /** Leaves those of its steps behind that do not end. */
  readonly leave: () => void;
  readonly left: Promise<Reached<never>>;
}

export class SagaRun {
  /** Not done and not undone, as far as this run knows. */
  isOpen = true;
  /** What its body threw last. */
  error: unknown;
  readonly #records: SagaRecords;
  readonly #undos = new Map<string, Undo>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #abort = new AbortController();
  readonly #cancelOn: string | undefined;
  readonly #deadlineMs: number | undefined;
  readonly #maxTries: number;
  /** The names that were given out before its body ran. */
  #names: ReadonlyMap<string, number> | undefined;
  /** The latest run of its body. */
  #latest: BodyRun | undefined;
  #dueAt: number | undefined;
  #isPastPivot = false;
  /** Why it is to be undone. */
  #failure: TaskFailure | undefined;
  #endWaits: (() => void) | undefined;
  #endBody: ((error: Error) => void) | undefined;
  #onFound: (() => void) | undefined;

  constructor(
    private readonly engine: StepEngine,
    readonly name: string,
    private readonly body: Body,
    options: SagaOptions,
  ) {
    const check = optionsOf("step.saga");
    const { deadline, cancelOn, compensationTries: tries } = options;
    this.#records = new SagaRecords(engine.journal, name);
    this.#cancelOn = cancelOn === undefined ? undefined : eventCheckpoint(cancelOn);
    this.#deadlineMs = deadline === undefined ? undefined : check.duration("deadline", deadline);
    const range = { min: 1, max: 1_000 };
    this.#maxTries = check.integer("compensationTries", tries, range, SAGA_DEFAULTS.compensationTries);
  }

  async perform(): Promise<unknown> {
    const done = await this.engine.waits.tracked(() => this.#open());
    if (done !== undefined) {
      this.isOpen = false;
      return done.value;
    }
    return this.#failure === undefined ? this.#forward() : this.#undo(this.#failure);
  }

  /** Whether there is something to be undone if its task ends now. */
  get hasToUndo(): boolean {
    return this.isOpen && !this.#isPastPivot && this.#records.open.length > 0;
  }

  /** Decides that it is undone, in another run. */
  async undoLater(failure: TaskFailure): Promise<void> {
    if (this.#failure === undefined) await this.#decide(failure);
  }

  /** Its outcome if it is done, else where it stands. */
  async #open(): Promise<Reached<StepRecord | undefined>> {
    const { engine } = this;
    const { journal, host } = engine;
    engine.throwIfStopped();
    await journal.load();
    await journal.writeFailures();
    if (host.hasEnded || engine.isHeld) return leftBehind();
    const done = await journal.find(this.#records.done);
    if (done !== undefined) return { value: done };
    this.#failure = (await journal.find(this.#records.undo))?.error;
    if (this.#failure !== undefined && journal.has(this.#records.compensated))
      this.#compensated(this.#failure);
    this.#isPastPivot = journal.has(this.#records.pivot);
    if (this.#failure === undefined && !this.#isPastPivot) await this.#beginTime();
    return { value: undefined };
  }

  /** Notes when it is due, once; if that is past, or it has been cancelled, it is to be undone. */
  async #beginTime(): Promise<void> {
    const { journal, host } = this.engine;
    if (this.#deadlineMs !== undefined) {
      const name = this.#records.opened;
      const until = (await journal.find(name))?.until ?? host.queue.clock.now() + this.#deadlineMs;
      if (!journal.has(name)) await journal.record({ name, record: { kind: "saga", until } });
      this.#dueAt = until;
    }
    const error = this.#hindrance();
    if (error !== undefined) await this.#decide(failureOf(error));
  }

  async #forward(): Promise<unknown> {
    const { waits, journal } = this.engine;
    const ended = new Promise<never>((_, reject) => (this.#endBody = reject));
    ended.catch(() => {});
    this.#limitWaits();
    try {
      const value = await Promise.race([this.#runBody(), ended]);
      this.#endWaits?.();
      const answer = await waits.tracked(async () => {
        const done = await journal.prepare({ name: this.#records.done, record: { kind: "saga", value } });
        await journal.write(done);
        return { value: decodePayload(done.opened) as StepRecord };
      });
      this.isOpen = false;
      return answer.value;
    } catch (thrown) {
      this.error = thrown;
      this.#endWaits?.();
      const { reason, isOver } = this.engine.host;
      if (reason !== undefined || isOver || this.#isPastPivot || !this.#isFinal(thrown)) throw thrown;
      this.#abort.abort(asError(thrown));
      this.engine.isHeld = true;
      const failure = failureOf(thrown);
      await waits.tracked(async () => ({ value: await this.#decide(failure) }));
      await this.#untilStepsEnd();
      return this.#undo(failure);
    }
  }

  /** Runs the body, and lets no earlier run of it begin anything any more. */
  async #runBody(): Promise<unknown> {
    const { names } = this.engine;
    // The same names again.
    if (this.#names === undefined) this.#names = names.given;
    else names.rewind(this.#names);
    const body = (this.#latest = bodyRun());
    return this.body({
      run: (name, fn, options) =>
        this.#begin(body, () => [names.step(name), fn, (options ?? {}) as unknown as AnyOptions]),
    });
  }

  #begin<Output>(
    body: BodyRun,
    given: () => [string, (context: StepContext) => unknown, AnyOptions],
  ): Promise<Output> {
    const outcome = this.engine.waits.tracked(async (): Promise<Reached<Output>> => {
      if (this.engine.host.isOver || body !== this.#latest) return leftBehind();
      const [step, fn, options] = given();
      optionsOf("saga.run").function("compensate", options.compensate);
      return Promise.race([this.#step(step, fn, options), body.left]);
    });
    const running = outcome.then(
      () => {},
      () => {},
    );
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
    return outcome;
  }

  async #step(
    step: string,
    fn: (context: StepContext) => unknown,
    options: AnyOptions,
  ): Promise<Reached<never>> {
    const { journal, host } = this.engine;
    const isForward = this.#failure === undefined;
    if (isForward && !this.#isPastPivot) await this.#throwIfHindered();
    const { compensate } = options;
    const canUndo = compensate !== undefined && !this.#isPastPivot;
    const begun = this.#records.begun(step);
    if (canUndo && isForward && !journal.has(begun)) {
      if (host.hasEnded || this.engine.isHeld) return leftBehind();
      await journal.record({ name: begun, record: { kind: "begun" } });
    }
    if (canUndo) this.#undos.set(step, { compensate, outcome: undefined });
    const pivot = { name: this.#records.pivot, record: { kind: "pivot" } };
    try {
      const reached = await this.engine.once<never>({
        step,
        fn,
        options: options as unknown as StepOptions<never, unknown>,
        signal: () => this.#abort.signal,
        also: options.pivot === true ? [pivot] : [],
      });
      if (!("value" in reached)) return reached;
      if (canUndo) this.#undos.set(step, { compensate, outcome: reached.value });
      if (options.pivot === true && isForward) this.#passPivot();
      return reached;
    } finally {
      this.#onFound?.();
    }
  }

  /** No way back from here: neither in time nor by anybody's wish. */
  #passPivot(): void {
    this.#isPastPivot = true;
    this.#endWaits?.();
  }

  #limitWaits(): void {
    if (this.#isPastPivot || (this.#dueAt === undefined && this.#cancelOn === undefined)) return;
    const limit = {
      ...(this.#dueAt === undefined ? {} : { dueAt: this.#dueAt }),
      ...(this.#cancelOn === undefined ? {} : { event: this.#cancelOn }),
    };
    this.#endWaits = this.engine.waits.limit(limit, () => {
      const error = this.#hindrance();
      if (error === undefined) return;
      this.#abort.abort(error);
      this.#endBody?.(error);
    });
  }

  async #throwIfHindered(): Promise<void> {
    if (this.#cancelOn !== undefined) await this.engine.journal.loadSince(Infinity);
    const error = this.#hindrance();
    if (error !== undefined) throw error;
  }

  /** Why it must not go on. */
  #hindrance(): Error | undefined {
    const { journal, host } = this.engine;
    if (this.#cancelOn !== undefined && journal.has(this.#cancelOn))
      return new SagaCancelledError(this.name, this.#cancelOn.slice("event:".length));
    if (this.#dueAt !== undefined && this.#dueAt <= host.queue.clock.now())
      return new SagaDeadlineError(this.name, this.#dueAt);
    return undefined;
  }

  #isFinal(thrown: unknown): boolean {
    const { attempt, maxAttempts } = this.engine.host.claimed;
    if (isPermanent(thrown) || attempt >= maxAttempts) return true;
    return hasCode(thrown, "SAGA_DEADLINE") || hasCode(thrown, "SAGA_CANCELLED");
  }

  async #decide(failure: TaskFailure): Promise<void> {
    await this.engine.journal.record({ name: this.#records.undo, record: { kind: "undo", error: failure } });
    this.#failure = failure;
  }

  async #undo(reason: TaskFailure): Promise<never> {
    const { engine } = this;
    engine.isHeld = true;
    await undoAll({
      saga: this.name,
      engine,
      records: this.#records,
      reason,
      maxTries: this.#maxTries,
      undoOf: async (step) => {
        if (!this.#undos.has(step)) await this.#lookThrough();
        return this.#undos.get(step);
      },
    });
    engine.isHeld = false;
    this.#compensated(reason);
  }

  #compensated(reason: TaskFailure): never {
    this.isOpen = false;
    throw new SagaCompensatedError(this.engine.host.claimed.id, this.name, reason);
  }

  /**
   * Runs the body for its compensations alone: steps that are done answer, nothing new begins. Ends when all are found,
   * when the body ends, or, since it may never come to them, after half of what is left of the run.
   */
  async #lookThrough(): Promise<void> {
    const { host, names } = this.engine;
    const given = names.given;
    const over = new AbortController();
    const found = new Promise<void>((resolve) => {
      this.#onFound = () => {
        if (this.#records.open.every((step) => this.#undos.has(step))) resolve();
      };
    });
    const ended = this.#runBody().then(
      () => {},
      () => {},
    );
    const time = host.queue.clock.sleep(host.remainingMs / 2, AbortSignal.any([over.signal, host.signal]));
    await Promise.race([found, ended, time.catch(() => {})]);
    over.abort();
    this.#onFound = undefined;
    names.forward(given);
    this.engine.throwIfStopped();
  }

  /** What is in the middle of being done is not undone yet; but not for ever. */
  async #untilStepsEnd(): Promise<void> {
    if (this.#running.size === 0) return;
    const { host } = this.engine;
    const over = new AbortController();
    const grace = host.queue.clock.sleep(host.graceMs, AbortSignal.any([over.signal, host.signal]));
    await Promise.race([Promise.allSettled(this.#running), grace.catch(() => {})]);
    over.abort();
    this.#latest?.leave();
    this.engine.throwIfStopped();
  }
}

function bodyRun(): BodyRun {
  let leave!: () => void;
  const left = new Promise<Reached<never>>((resolve) => (leave = () => resolve(leftBehind())));
  return { leave, left };
}
