// The steps of one run of a task.
import { optionsOf } from "@holdfast/core";
import type { TaskFailure } from "../task/task-status.ts";
import type { TaskDefinition } from "../task/task.ts";
import { parse } from "../task/task.ts";
import { isPermanent } from "../worker/failure.ts";
import { checkCompleted, joinChildren, spawnChild } from "./child-steps.ts";
import type {
  ChildOutcome,
  ChildOutcomes,
  ChildTask,
  JoinOptions,
  SpawnOptions,
} from "./children-contract.ts";
import type { Steps, WaitForOptions, WaitForTimeout } from "./contract.ts";
import { EventTimeoutError, SagaOpenError } from "./errors.ts";
import type { Saga, SagaOptions } from "./saga-contract.ts";
import { SagaRun } from "./saga.ts";
import type { StepContext, StepOptions } from "./step-contract.ts";
import { leftBehind, StepEngine } from "./step-engine.ts";
import type { StepHost } from "./step-host.ts";
import { eventCheckpoint } from "./step-names.ts";
import type { Reached } from "./step-waits.ts";

type EventWait<Value> = WaitForOptions<Value> & Partial<WaitForTimeout>;

export class TaskSteps implements Steps {
  readonly #engine: StepEngine;
  /** The latest. */
  #saga: SagaRun | undefined;

  constructor(host: StepHost) {
    this.#engine = new StepEngine(host);
  }

  run<Result, Output = Result>(
    name: string,
    fn: (context: StepContext) => Result | PromiseLike<Result>,
    options: StepOptions<Result, Output> = {},
  ): Promise<Output> {
    return this.#begun(() => {
      const step = this.#engine.names.step(name);
      return () => this.#engine.once<Output>({ step, fn, options: options as StepOptions<never, unknown> });
    });
  }

  sleep(name: string, duration: Parameters<Steps["sleep"]>[1]): Promise<void> {
    return this.#begun(() => {
      const step = this.#engine.names.step(name);
      const ms = optionsOf("step.sleep").duration("duration", duration);
      return () => this.#sleep(step, () => this.#engine.host.queue.clock.now() + ms);
    });
  }

  sleepUntil(name: string, time: Date | number): Promise<void> {
    return this.#begun(() => {
      const step = this.#engine.names.step(name);
      const until = optionsOf("step.sleepUntil").number("time", Number(time));
      return () => this.#sleep(step, () => until);
    });
  }

  waitFor<Value>(event: string, options: EventWait<Value> = {}): Promise<Value> {
    return this.#begun(() => {
      const checkpoint = eventCheckpoint(event);
      const step = this.#engine.names.numbered(`wait:${event}`);
      const check = optionsOf("step.waitFor");
      const { timeout } = options;
      const ms = timeout === undefined ? undefined : check.duration("timeout", timeout);
      return () => this.#waitFor(step, checkpoint, event, ms, options) as Promise<Reached<Value>>;
    });
  }

  spawn<Input, Output>(
    name: string,
    task: TaskDefinition<Input, unknown, never, Output>,
    input: Input,
    options: SpawnOptions = {},
  ): Promise<ChildTask<Output>> {
    return this.#begun(() => {
      const step = this.#engine.names.step(name);
      return () => spawnChild(this.#engine, step, task, input, options);
    });
  }

  join<const Children extends readonly ChildTask[]>(
    name: string,
    children: Children,
    options: JoinOptions = {},
  ): Promise<ChildOutcomes<Children>> {
    const joined = this.#join(name, children, options);
    joined.catch(() => {});
    return joined as Promise<ChildOutcomes<Children>>;
  }

  children(name: string, options: JoinOptions = {}): Promise<readonly ChildOutcome[]> {
    const joined = this.#join(name, undefined, options);
    joined.catch(() => {});
    return joined;
  }

  saga<Result>(
    name: string,
    body: (saga: Saga) => Result | PromiseLike<Result>,
    options: SagaOptions = {},
  ): Promise<Result> {
    const performed = this.#perform(name, body, options);
    performed.catch(() => {});
    return performed as Promise<Result>;
  }

  now(): Promise<number> {
    return this.#value("now", () => this.#engine.host.queue.clock.now());
  }

  random(): Promise<number> {
    return this.#value("random", this.#engine.host.random);
  }

  /** The handler has ended. Resolves when what it has begun is recorded, and what it went past if it is to come back. */
  async finish(...thrown: readonly unknown[]): Promise<void> {
    const { waits, journal, host } = this.#engine;
    waits.end();
    await waits.idle();
    const { attempt, maxAttempts } = host.claimed;
    const comesBack = thrown.length > 0 && !isPermanent(thrown[0]) && attempt < maxAttempts;
    // What cannot be recorded is done again.
    if (comesBack && host.reason === undefined) await journal.writeFailures().catch(() => {});
    if (thrown.length === 0 && this.#saga?.isOpen === true)
      throw this.#saga.error ?? new SagaOpenError(this.#saga.name);
  }

  /** Whether there is something to be undone if the task ends with this failure. */
  hasToUndo(failure: TaskFailure): boolean {
    return failure.code !== "SAGA_PARKED" && this.#saga?.hasToUndo === true;
  }

  /** Decides that the saga is undone by another run. Whether that is recorded. */
  async undoLater(failure: TaskFailure): Promise<boolean> {
    try {
      await this.#saga?.undoLater(failure);
      return true;
    } catch {
      return false;
    }
  }

  /** Ends all waits: with a reason for the handler, or silently. */
  end(reason?: Error): void {
    this.#engine.waits.end(reason);
  }

  async #sleep(step: string, untilOf: () => number): Promise<Reached<void>> {
    const { journal, waits, host } = this.#engine;
    let record = await this.#engine.begin(step, "sleep");
    if (record === "left behind") return leftBehind();
    if (record === "new") {
      record = { kind: "sleep", until: untilOf() };
      await journal.record({ name: step, record });
    }
    const dueAt = record.until!;
    if (dueAt <= host.queue.clock.now()) return { value: undefined };
    if (this.#engine.isHeld) return leftBehind();
    return { wait: waits.park({ dueAt }) };
  }

  async #waitFor(
    step: string,
    checkpoint: string,
    event: string,
    timeoutMs: number | undefined,
    options: EventWait<unknown>,
  ): Promise<Reached<unknown>> {
    const { journal, waits, host } = this.#engine;
    const record = await this.#engine.begin(step, "wait");
    // An event that has come is no new step.
    const isThere = !host.hasEnded && journal.has(checkpoint);
    if (record === "left behind" && !isThere) return leftBehind();
    const late = `timeout:${step}`;
    if (journal.has(late)) return { value: this.#late(event, options) };
    const found = await journal.event(event);
    if (found !== undefined) return { value: await this.#heard(event, found.value, options) };
    if (this.#engine.isHeld || record === "left behind") return leftBehind();
    let dueAt = record === "new" ? undefined : record.until;
    if (record === "new" && timeoutMs !== undefined) {
      dueAt = host.queue.clock.now() + timeoutMs;
      await journal.record({ name: step, record: { kind: "wait", until: dueAt } });
    }
    if (dueAt === undefined) return { wait: waits.park({ event: checkpoint }) as Promise<never> };
    const until = dueAt;
    const over = (): Promise<unknown> =>
      waits.tracked(async () => ({ value: await this.#atTimeout(late, event, until, options) }));
    if (until <= host.queue.clock.now()) return { value: await this.#atTimeout(late, event, until, options) };
    return { wait: waits.park({ event: checkpoint, dueAt: until }).then(over) };
  }

  /** Its time is over: unless the event has come meanwhile, it has come too late for ever. */
  async #atTimeout(
    late: string,
    event: string,
    dueAt: number,
    options: EventWait<unknown>,
  ): Promise<unknown> {
    const { journal } = this.#engine;
    await journal.loadSince(dueAt);
    const found = await journal.event(event);
    if (found !== undefined) return this.#heard(event, found.value, options);
    await journal.record({ name: late, record: { kind: "timeout" } });
    return this.#late(event, options);
  }

  #heard(event: string, value: unknown, { schema }: EventWait<unknown>): Promise<unknown> {
    return parse(schema, value, `${this.#engine.host.claimed.name}/${event}`, "output");
  }

  #late(event: string, { onTimeout }: EventWait<unknown>): undefined {
    if (onTimeout === "throw") throw new EventTimeoutError(this.#engine.host.claimed.id, event);
    return undefined;
  }

  async #join(
    name: string,
    children: readonly ChildTask[] | undefined,
    options: JoinOptions,
  ): Promise<readonly ChildOutcome[]> {
    const ids = children?.map(({ id }) => id);
    const outcomes = await this.#begun(() => {
      const step = this.#engine.names.step(name);
      return () => joinChildren(this.#engine, step, ids);
    });
    checkCompleted(outcomes, options);
    if (children === undefined) return outcomes;
    const parsed = outcomes.map(async (outcome, at) => {
      if (outcome.state !== "completed") return outcome;
      return { ...outcome, result: await children[at]!.task.parseOutput(outcome.result as never) };
    });
    return Promise.all(parsed);
  }

  async #perform(name: string, body: (saga: Saga) => unknown, options: SagaOptions): Promise<unknown> {
    const { host, names } = this.#engine;
    if (host.isOver) return this.#engine.waits.tracked(async () => leftBehind());
    if (this.#saga?.isOpen === true)
      optionsOf("step.saga").refuse("name", name, `begun after saga "${this.#saga.name}" has ended`);
    this.#saga = new SagaRun(this.#engine, names.step(name, "saga:"), body, options);
    return this.#saga.perform();
  }

  #value(name: string, fn: () => number): Promise<number> {
    return this.#begun(() => {
      const step = this.#engine.names.numbered(`value:${name}`);
      return () => this.#engine.once<number>({ step, fn, options: {} });
    });
  }

  /** Names are given out in the order of the calls, at once. Whoever does not await a step must not be ended by it. */
  #begun<T>(name: () => () => Promise<Reached<T>>): Promise<T> {
    const { waits, host } = this.#engine;
    const outcome = waits.tracked(async () => (host.isOver ? leftBehind() : name()()));
    outcome.catch(() => {});
    return outcome;
  }
}
