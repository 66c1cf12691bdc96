// One run of a task on a worker: its handler, its deadline, its lease, and how that lease is to be ended.
import type { Clock, Random, Timer } from "@holdfast/core";
import { LeaseLostError, retryAfterOf, TimeoutError } from "@holdfast/core";
import { PayloadVersionError, TaskCancelledError, WorkerClosingError } from "../errors.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { Steps } from "../steps/contract.ts";
import { TaskSuspendedError } from "../steps/errors.ts";
import type { StepHost, Suspension } from "../steps/step-host.ts";
import { TaskSteps } from "../steps/task-steps.ts";
import type { ClaimedTask, RetryPlan, Settlement, TaskReport, WriteOutcome } from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import { readMeta, traceOf } from "../task/task-meta.ts";
import { inputOf, resultOf } from "../task/task-payload.ts";
import type { TaskTracing } from "../task/task-tracing.ts";
import { failureOf, isPermanent } from "./failure.ts";
import type { TaskHandler } from "./handler.ts";
import type { Reporter } from "./reporter.ts";
import { RunContext } from "./run-context.ts";

/** What all runs of a worker share. */
export interface RunSettings {
  readonly clock: Clock;
  readonly random: Random;
  readonly reporter: Reporter;
  readonly queue: Queue;
  /** The worker's name. */
  readonly worker: string;
  /** How long the store may take to answer, in milliseconds. */
  readonly patienceMs: number;
  /** How long a handler that was told to stop may take, in milliseconds. */
  readonly graceMs: number;
  /** Told once of each run how its lease is to be ended; `undefined`: not at all, it is not ours. */
  readonly onEnd: (run: TaskRun, settlement: Settlement | undefined) => void;
  /** Told of a handler that was left behind, and again when it has ended at last. */
  readonly onLeft: (run: TaskRun, ended: boolean) => void;
}

/** Why a run was told to stop. */
export type StopCause = "lease_lost" | "cancelled" | "timeout" | "closing" | "suspended";

type Ending =
  | { readonly kind: "returned"; readonly result: Payload }
  | { readonly kind: "threw"; readonly thrown: unknown }
  | { readonly kind: "suspended"; readonly until: Suspension }
  | { readonly kind: "abandoned" };

/** How long a task is given back whose input is newer than its handler, in milliseconds. */
const NEWER_DELAY_MS = 10_000;
/** The wait before another try when the task's own backoff fails. */
const FALLBACK_RETRY: RetryPlan = { delayMs: 1_000, backoffState: 0 };

export class TaskRun implements StepHost {
  /** On the clock's monotonic time: from here on the lease may be somebody else's. */
  leaseEndsAt: number;
  readonly startedAt: number;
  /** On the clock's monotonic time: from here on it has taken too long. */
  readonly timeUpAt: number;
  #stop: { readonly cause: StopCause; readonly reason: Error } | undefined;
  #controller: AbortController | undefined;
  #reported: Promise<unknown> | undefined;
  #grace: Timer | undefined;
  #hasStarted = false;
  #steps: TaskSteps | undefined;
  #onOver: (() => void) | undefined;
  #hasEnded = false;
  /** The handler has ended, or was left behind. */
  #isOver = false;
  /** The handler was left behind, and goes on. */
  #isLeft = false;
  /** The handler waits in a step for ever, and does nothing any more. */
  #isStuck = false;
  #isOurs = true;

  constructor(
    readonly claimed: ClaimedTask,
    private readonly handler: TaskHandler,
    private readonly settings: RunSettings,
    leaseEndsAt: number,
  ) {
    this.leaseEndsAt = leaseEndsAt;
    this.startedAt = settings.clock.monotonic();
    this.timeUpAt = this.startedAt + handler.task.timeoutMs;
  }

  /** Whether the lease is ours as far as we know, also after the handler has ended. */
  get isOurs(): boolean {
    return this.#isOurs;
  }

  /** Runs the handler. */
  start(): void {
    // Told to stop before it could start.
    if (this.#stop !== undefined) return this.settings.onEnd(this, this.#settlement({ kind: "abandoned" }));
    this.#hasStarted = true;
    void this.#handle();
  }

  /** Aborts the handler's signal, and leaves the handler behind if it has not ended after the grace period. */
  stop(cause: StopCause, reason: Error): void {
    if (this.#stop !== undefined || this.#hasEnded) return;
    this.#stop = { cause, reason };
    if (this.#hasStarted)
      this.#grace = this.settings.clock.setTimer(this.settings.graceMs, () => this.abandon());
    this.#controller?.abort(reason);
    this.#steps?.end(reason);
  }

  timeIsUp(): void {
    this.stop("timeout", new TimeoutError(`task "${this.claimed.name}"`, this.handler.task.timeoutMs));
  }

  loseLease(): void {
    this.#isOurs = false;
    this.stop("lease_lost", new LeaseLostError(this.claimed.id, this.claimed.fence));
  }

  cancel(reason: string): void {
    this.#isOurs = false;
    this.stop("cancelled", new TaskCancelledError(this.claimed.id, reason));
  }

  /** Ends the run without its handler, which goes on unobserved; whatever it writes is refused. */
  abandon(): void {
    if (this.#hasEnded) return;
    this.stop("closing", new WorkerClosingError());
    this.#end({ kind: "abandoned" });
    if (!this.#hasEnded || this.#isStuck) return;
    this.#isLeft = true;
    this.settings.onLeft(this, false);
  }

  /** Its handler has come to a step that it never gets past. */
  stayBehind(): void {
    this.#isStuck = true;
    this.#gone();
  }

  /** Learns what became of a write under the lease. Throws what a handler is to see when it was refused. */
  heed(outcome: WriteOutcome): void {
    if (outcome.written) return;
    if (outcome.cause === "cancelled") this.cancel(outcome.reason);
    else this.loseLease();
    const { id, fence } = this.claimed;
    throw outcome.cause === "cancelled"
      ? new TaskCancelledError(id, outcome.reason)
      : new LeaseLostError(id, fence);
  }

  /** A run that was frozen learns here, and not from its store, that its lease has ended. */
  checkLease(): void {
    if (this.#isOurs && this.leaseEndsAt <= this.settings.clock.monotonic()) this.loseLease();
  }

  retryDelay(failures: number, thrown: unknown): number {
    return this.#retryPlan(thrown, failures, 0).delayMs;
  }

  /** Fails the task for good: its handler stays behind where it is. */
  fail(error: Error): void {
    void this.#leave({ kind: "threw", thrown: error });
  }

  /** Ends the run without an outcome: its handler waits, and stays behind where it is. */
  suspend(until: Suspension): void {
    if (this.#isOver || this.#stop !== undefined) return;
    void this.#leave({ kind: "suspended", until });
  }

  get steps(): Steps {
    return (this.#steps ??= new TaskSteps(this));
  }

  get queue(): Queue {
    return this.settings.queue;
  }

  get worker(): string {
    return this.settings.worker;
  }

  get random(): Random {
    return this.settings.random;
  }

  get patienceMs(): number {
    return this.settings.patienceMs;
  }

  get graceMs(): number {
    return this.settings.graceMs;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get aborted(): boolean {
    return this.#stop !== undefined;
  }

  get reason(): Error | undefined {
    return this.#stop?.reason;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stop !== undefined) this.#controller.abort(this.#stop.reason);
    }
    return this.#controller.signal;
  }

  get remainingMs(): number {
    return Math.max(0, this.timeUpAt - this.settings.clock.monotonic());
  }

  async report(report: TaskReport): Promise<void> {
    const written = this.settings.reporter.add(this.claimed, report).then((outcome) => this.heed(outcome));
    this.#reported = written.catch(() => {});
    await written;
  }

  /** Whatever need not wait does not: a turn for each step of each task adds up. */
  async #handle(): Promise<void> {
    let ending: Ending;
    try {
      const { task } = this.handler;
      const { payloads, tracing } = this.settings.queue;
      // A signal is made only where something can wait for it.
      const signal = payloads.plain ? undefined : this.signal;
      let input = inputOf(this.claimed, task, payloads, signal);
      if (input instanceof Promise) input = await input;
      // Told to stop before it began.
      if (this.#stop !== undefined) throw this.#stop.reason;
      const value = await (tracing === undefined ? this.#call(input) : this.#traced(tracing, input));
      this.#isOver = true;
      if (this.#steps !== undefined) await this.#steps.finish();
      let result = resultOf(value, this.claimed.id, task, payloads, signal);
      if (result instanceof Promise) result = await result;
      if (this.#reported !== undefined) await this.#reported;
      ending = { kind: "returned", result };
    } catch (thrown) {
      this.#isOver = true;
      if (this.#steps !== undefined) await this.#steps.finish(thrown);
      await this.#reported;
      ending = { kind: "threw", thrown };
    }
    this.#end(ending);
    this.#gone();
  }

  /** Nothing of the handler goes on any more. */
  #gone(): void {
    if (!this.#isLeft) return;
    this.#isLeft = false;
    this.settings.onLeft(this, true);
  }

  /** Ends the run and leaves its handler behind; what else that does is told to stop. */
  async #leave(ending: Ending): Promise<void> {
    this.#isOver = true;
    // A turn without reports costs no wait.
    if (this.#reported !== undefined) await this.#reported;
    this.#end(ending);
    this.#stop ??= { cause: "suspended", reason: new TaskSuspendedError(this.claimed.id) };
    this.#controller?.abort(this.#stop.reason);
  }

  #call(input: unknown): unknown {
    return this.handler.run(new RunContext(this, input as never));
  }

  async #traced(tracing: TaskTracing, input: unknown): Promise<unknown> {
    const { id, name: task, attempt, meta } = this.claimed;
    const trace = traceOf(readMeta(meta));
    const about = {
      queue: this.settings.queue.name,
      task,
      id,
      attempt,
      ...(trace === undefined ? {} : { trace }),
    };
    // A handler that stays behind in a wait never ends, but its part of the trace does.
    const over = new Promise<void>((resolve) => (this.#onOver = resolve));
    let value: unknown;
    await tracing.processing(about, () => Promise.race([(value = this.#call(input)), over]));
    return value;
  }

  #end(ending: Ending): void {
    if (this.#hasEnded || !this.#hasStarted) return;
    this.#hasEnded = true;
    this.#isOver = true;
    this.#grace?.cancel();
    this.#steps?.end();
    this.#onOver?.();
    const settlement = this.#settlement(ending);
    if (this.#steps === undefined) this.settings.onEnd(this, settlement);
    else void this.#settled(this.#steps, settlement);
  }

  /** A task that would die with a saga to be undone comes back instead, which uses up no try. */
  async #settled(steps: TaskSteps, settlement: Settlement | undefined): Promise<void> {
    const isLast = settlement?.kind === "fail" && this.#isLast(settlement.retry);
    if (!isLast || !steps.hasToUndo(settlement.error)) return this.settings.onEnd(this, settlement);
    const { id, fence, attempt } = this.claimed;
    const delayMs = settlement.retry?.delayMs ?? this.retryDelay(attempt, undefined);
    const isNoted = await steps.undoLater(settlement.error);
    this.settings.onEnd(this, isNoted ? { id, fence, kind: "suspend", delayMs } : undefined);
  }

  #isLast(retry: RetryPlan | undefined): boolean {
    return retry === undefined || this.claimed.attempt >= this.claimed.maxAttempts;
  }

  #settlement(ending: Ending): Settlement | undefined {
    const { id, fence } = this.claimed;
    const stop = this.#stop;
    if (stop?.cause === "lease_lost" || stop?.cause === "cancelled") return undefined;
    if (ending.kind === "suspended") return { id, fence, kind: "suspend", ...ending.until };
    // What came after its time was up came too late, even if it is a result.
    if (stop?.cause === "timeout") return this.#failure(stop.reason);
    if (ending.kind === "returned") return { id, fence, kind: "complete", result: ending.result };
    // Whatever it threw, it threw because it was told to stop.
    if (stop?.cause === "closing" || ending.kind === "abandoned") return { id, fence, kind: "release" };
    if (ending.thrown instanceof PayloadVersionError && ending.thrown.givesBack)
      return { id, fence, kind: "suspend", delayMs: NEWER_DELAY_MS };
    return this.#failure(ending.thrown);
  }

  #failure(thrown: unknown): Settlement {
    const { id, fence, attempt, backoffState } = this.claimed;
    const failed = { id, fence, kind: "fail", error: failureOf(thrown) } as const;
    return isPermanent(thrown)
      ? failed
      : { ...failed, retry: this.#retryPlan(thrown, attempt, backoffState) };
  }

  #retryPlan(thrown: unknown, attempt: number, backoffState: number): RetryPlan {
    const { clock, random } = this.settings;
    try {
      const { delayMs, state } = this.handler.task.backoff.next(attempt, backoffState, random);
      if (!(delayMs >= 0 && delayMs < Infinity)) return FALLBACK_RETRY;
      const longest = Math.max(delayMs, retryAfterOf(thrown, clock.now()) ?? 0);
      return { delayMs: Math.ceil(longest), backoffState: state };
    } catch {
      return FALLBACK_RETRY;
    }
  }
}
