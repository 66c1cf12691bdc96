// Durable steps as a handler sees them: what is done once stays done, and what takes long holds no slot.
import type { Duration } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { TaskDefinition } from "../task/task.ts";
import type {
  ChildOutcome,
  ChildOutcomes,
  ChildTask,
  JoinOptions,
  SpawnOptions,
} from "./children-contract.ts";
import type { Saga, SagaOptions } from "./saga-contract.ts";
import type { StepContext, StepOptions } from "./step-contract.ts";

export interface WaitForOptions<Value = unknown> {
  /** Checked on the event's value. */
  readonly schema?: StandardSchemaV1<unknown, Value>;
}

/** For waits that end without their event. */
export interface WaitForTimeout {
  /** How long to wait, from when the wait is first reached. */
  readonly timeout: Duration;
  /** `"throw"`: an {@link EventTimeoutError} instead of `undefined`. @defaultValue "answer" */
  readonly onTimeout?: "answer" | "throw";
}

/**
 * Steps of a task. Each is recorded in the task's store, under its lease, before its promise resolves: when the task
 * runs again, after a failure, a crash or a wait, steps that are done answer what they answered, and the first that is
 * not is where it goes on. The code between steps runs again each time.
 *
 * - **Names** tell steps apart: 1 to 100 letters, digits, spaces and `. _ / -`. A name used again in the same run, as in
 *   a loop, gets `#2`, `#3` and so on, in the order of the calls. Steps may be added, removed and moved between
 *   deploys; a name that comes back as something else fails the task with a {@link StepMismatchError}.
 * - **At least once**: a step that was cut before its outcome was recorded runs again. Its `idempotencyKey` stays.
 * - **Outcomes** are what JSON and bytes can carry, and what is answered is always a copy of what is stored, the first
 *   time too.
 * - **Failures**: a `PermanentError` is the step's outcome: it is recorded as soon as the handler goes on past it, and
 *   thrown again whenever the task comes back. Anything else fails the try, and the step runs again in the next.
 * - **Waits** that are longer than a second end the run without an outcome: the handler is left where it is, **its
 *   promise never settles and its `finally` blocks do not run**, and the task comes back when the wait is over, without
 *   having used up a try. So hold nothing across a wait, and put into steps whatever takes time beside one: steps that
 *   run beside a wait are recorded first, other work is told to stop by `signal` (`TASK_SUSPENDED`).
 * - **Steps do not nest**: do not wait for one inside another's function.
 *
 * A task has at most 10,000 steps, and each outcome is at most as large as a payload of its queue.
 */
export interface Steps {
  /**
   * Runs `fn` unless it has been done, and answers its outcome.
   *
   * @throws StepMismatchError, TooManyStepsError, PayloadTooLargeError, UnserializableError, InvalidPayloadError: all
   * permanent; a `LeaseLostError` when the task is no longer ours; the abort's reason when the run was told to stop.
   */
  run<Result, Output = Result>(
    name: string,
    fn: (context: StepContext) => Result | PromiseLike<Result>,
    options?: StepOptions<Result, Output>,
  ): Promise<Output>;

  /**
   * Waits for `duration` from when the sleep is first reached, whatever happens to workers meanwhile. Its end is a time
   * on the wall clock of the worker that reached it: keep the clocks of workers in step.
   */
  sleep(name: string, duration: Duration): Promise<void>;

  /** Waits until a point in time: a `Date`, or milliseconds since the epoch. */
  sleepUntil(name: string, time: Date | number): Promise<void>;

  /**
   * Waits until the task is told of an event with `queue.signal(id, event, value)`, and answers its value; one that
   * came before the wait counts. An event happens once for a task: whoever waits again gets the same. With a `timeout`,
   * answers `undefined` when that is over first, and does so for ever.
   *
   * Of several events that are waited for at a time, in a `Promise.race`, whichever comes first is heard of at once.
   *
   * @param event - 1 to 100 letters, digits, dots, hyphens and underscores.
   * @throws InvalidPayloadError when the value does not fit the schema, EventTimeoutError if that was asked for.
   */
  waitFor<Value = unknown>(event: string, options?: WaitForOptions<Value>): Promise<Value>;
  waitFor<Value = unknown>(
    event: string,
    options: WaitForOptions<Value> & WaitForTimeout & { readonly onTimeout: "throw" },
  ): Promise<Value>;
  waitFor<Value = unknown>(
    event: string,
    options: WaitForOptions<Value> & WaitForTimeout,
  ): Promise<Value | undefined>;

  /**
   * Adds a task to the same queue as a child of this one, once, whatever happens between: its ID follows from this
   * task's and the step's name. Children are cancelled with their parent, and need not be waited for.
   *
   * @throws as `queue.enqueue` does.
   */
  spawn<Input, Output>(
    name: string,
    task: TaskDefinition<Input, unknown, never, Output>,
    input: Input,
    options?: SpawnOptions,
  ): Promise<ChildTask<Output>>;

  /**
   * Waits for children and answers what became of them, in their order, now and whenever the task comes back. While one
   * of them is live the run is suspended **until none of the task's children is**, those included that were not named.
   * All their results together are at most as large as a payload.
   *
   * @throws ChildFailedError if all were to complete, and one has not.
   */
  join<const Children extends readonly ChildTask[]>(
    name: string,
    children: Children,
    options?: JoinOptions,
  ): Promise<ChildOutcomes<Children>>;

  /** Waits for all children of the task, such as those of a flow, and answers what became of those that are kept. */
  children(name: string, options?: JoinOptions): Promise<readonly ChildOutcome[]>;

  /**
   * Runs `body`, whose steps are undone in reverse order when it cannot be done: when it fails for good, or in the last
   * try, or is past its deadline, or is told to by an event. Then this throws a {@link SagaCompensatedError}, once all is
   * undone, now and whenever the task comes back. One saga at a time.
   *
   * What cannot be undone, since a compensation fails for good or too often, parks the task: it is failed with
   * `SAGA_PARKED`, naming what is open, and goes on undoing when it is redriven.
   *
   * @throws SagaCompensatedError, or what `body` throws when it is to be tried again.
   */
  saga<Result>(
    name: string,
    body: (saga: Saga) => Result | PromiseLike<Result>,
    options?: SagaOptions,
  ): Promise<Result>;

  /** Wall time in milliseconds since the epoch, the same whenever the task comes back. */
  now(): Promise<number>;
  /** A random number from 0 up to 1, the same whenever the task comes back. */
  random(): Promise<number>;
}
