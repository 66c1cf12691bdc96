// What a task is: a name, the shapes of its input and output, and how it is tried.
import type { Backoff, Duration } from "@holdfast/core";
import { exponential, optionsOf } from "@holdfast/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { InvalidPayloadError, PayloadVersionError } from "../errors.ts";

/** Makes an input of one version into one of the next. */
export type Upcaster = (input: never) => unknown;

export interface TaskOptions<Input, Parsed, Result, Output> {
  /** Unique within a queue. Stored with each task: handlers are found by it after a deploy too. */
  readonly name: string;
  /**
   * Checked when a task is added and again before it runs, on what JSON makes of the input. Any Standard Schema:
   * zod, valibot, arktype.
   */
  readonly input?: StandardSchemaV1<Input, Parsed>;
  /** Checked before a result is stored and again when it is read, on what JSON makes of it. */
  readonly output?: StandardSchemaV1<Result, Output>;
  /**
   * Version of the input, stored with each task. Raise it when the input changes, and say in {@link upcast} what to do
   * with those that are stored. From 1. @defaultValue 1
   */
  readonly version?: number;
  /**
   * By version: what makes an input of that version into one of the next. Run in order at the worker, before the schema.
   * Without gaps up to the version before {@link version}; a task that is older than all of them fails for good.
   */
  readonly upcast?: Readonly<Record<number, Upcaster>>;
  /**
   * What a worker does with an input that is newer than it knows, as there are while a new release is rolled out.
   * `"wait"`: gives the task back for ten seconds, which uses up no try. `"fail"`: the task fails for good.
   * @defaultValue "wait"
   */
  readonly newer?: "wait" | "fail";
  /**
   * Tries in all; a task whose last try fails becomes a dead letter. From 1 to 1,000. @defaultValue the queue's, which is 3
   */
  readonly attempts?: number;
  /** The waits between tries. @defaultValue exponential from 1 s to 5 min, full jitter */
  readonly backoff?: Backoff;
  /** How long one try may take. @defaultValue "15m" */
  readonly timeout?: Duration;
  /**
   * How often a worker may be lost while it runs the task, which uses up no try. Once more, and the task fails: it
   * may be what ends the workers. @defaultValue the queue's, which is 5
   */
  readonly leaseLosses?: number;
  /** How long a completed or cancelled task is kept, with its result and its events. @defaultValue "1h" */
  readonly keepFor?: Duration;
  /** How long a failed task is kept among the dead letters. @defaultValue "14d" */
  readonly keepFailedFor?: Duration;
}

/** A kind of task, typed by what goes in and what comes out. Made by {@link defineTask}. */
export interface TaskDefinition<Input = unknown, Parsed = Input, Result = unknown, Output = Result> {
  readonly name: string;
  /** Version of the input. */
  readonly version: number;
  /** `undefined`: as its queue says. */
  readonly attempts: number | undefined;
  readonly backoff: Backoff;
  readonly timeoutMs: number;
  /** `undefined`: as its queue says. */
  readonly leaseLosses: number | undefined;
  readonly keepMs: number;
  readonly keepFailedMs: number;
  /** Whether there is a schema for the input. */
  readonly checksInput: boolean;
  readonly checksOutput: boolean;
  /**
   * Makes an input of version `from` into one of {@link version}.
   *
   * @throws PayloadVersionError for one that is newer, or older than the oldest upcaster.
   */
  upcast(input: unknown, from: number): Promise<unknown>;
  /** @throws InvalidPayloadError */
  parseInput(value: Input): Promise<Parsed>;
  /** @throws InvalidPayloadError */
  parseOutput(value: Result): Promise<Output>;
}

const MAX_VERSION = 10_000;
/** What may be said of tries and of lost leases. */
export const ATTEMPTS: { readonly min: number; readonly max: number } = { min: 1, max: 1_000 };
export const LEASE_LOSSES: { readonly min: number; readonly max: number } = { min: 0, max: 1_000 };

/** The defaults of `defineTask`. */
export const TASK_DEFAULTS: {
  readonly attempts: number;
  readonly leaseLosses: number;
  readonly timeoutMs: number;
  readonly keepMs: number;
  readonly keepFailedMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
} = {
  attempts: 3,
  leaseLosses: 5,
  timeoutMs: 900_000,
  keepMs: 3_600_000,
  keepFailedMs: 14 * 86_400_000,
  backoffBaseMs: 1_000,
  backoffCapMs: 300_000,
};

/**
 * Defines a kind of task. Share the definition between those who enqueue and those who work.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { defineTask } from "@holdfast/queue";
 *
 * const greet = defineTask<{ name: string }, { name: string }, string>({ name: "greet", attempts: 5 });
 * greet.attempts; // => 5
 * ```
 */
export function defineTask<Input = unknown, Parsed = Input, Result = unknown, Output = Result>(
  options: TaskOptions<Input, Parsed, Result, Output>,
): TaskDefinition<Input, Parsed, Result, Output> {
  const check = optionsOf("defineTask");
  const defaults = TASK_DEFAULTS;
  const { backoffBaseMs, backoffCapMs } = defaults;
  const { attempts, leaseLosses } = options;
  const name = check.string("name", options.name, 100);
  const version = check.integer("version", options.version, { min: 1, max: MAX_VERSION }, 1);
  const upcasters = upcastersOf(options.upcast, version);
  const newer = check.oneOf("newer", options.newer, ["wait", "fail"], "wait");
  return {
    name,
    version,
    attempts: attempts === undefined ? undefined : check.integer("attempts", attempts, ATTEMPTS),
    leaseLosses:
      leaseLosses === undefined ? undefined : check.integer("leaseLosses", leaseLosses, LEASE_LOSSES),
    backoff: backoffOf(options.backoff) ?? exponential({ base: backoffBaseMs, cap: backoffCapMs }),
    timeoutMs: check.duration("timeout", options.timeout, { min: 1 }, defaults.timeoutMs),
    keepMs: check.duration("keepFor", options.keepFor, {}, defaults.keepMs),
    keepFailedMs: check.duration("keepFailedFor", options.keepFailedFor, {}, defaults.keepFailedMs),
    checksInput: isSchema("input", options.input),
    checksOutput: isSchema("output", options.output),
    upcast: async (input, from) => {
      const upcast = upcasters.slice(from - 1);
      if (from > version || upcast.length < version - from || upcast.includes(undefined))
        throw new PayloadVersionError(name, from, version, from > version && newer === "wait");
      let made = input;
      for (const next of upcast) made = await next!(made as never);
      return made;
    },
    parseInput: (value) => parse(options.input, value, name, "input") as Promise<Parsed>,
    parseOutput: (value) => parse(options.output, value, name, "output") as Promise<Output>,
  };
}

function backoffOf(backoff: Backoff | undefined): Backoff | undefined {
  if (backoff !== undefined && typeof backoff?.next !== "function")
    optionsOf("defineTask").refuse("backoff", backoff, "a backoff, such as exponential() of @holdfast/core");
  return backoff;
}

/** Whether there is one. */
function isSchema(end: "input" | "output", schema: StandardSchemaV1 | undefined): boolean {
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function")
    optionsOf("defineTask").refuse(end, schema, "a Standard Schema, such as one of zod");
  return schema !== undefined;
}

/** In order, from that of version 1; without a gap behind the first one. */
function upcastersOf(
  upcast: TaskOptions<never, never, never, never>["upcast"],
  version: number,
): readonly (Upcaster | undefined)[] {
  const check = optionsOf("defineTask");
  const given = check.object("upcast", upcast ?? {});
  const steps = Array.from({ length: version - 1 }, (_, at) => check.function("upcast", given[at + 1]));
  const first = steps.findIndex((step) => step !== undefined);
  const known = Object.keys(given).every((key) => steps[Number(key) - 1] !== undefined);
  if (!known || (first !== -1 && steps.includes(undefined, first)))
    check.refuse(
      "upcast",
      `those of ${Object.keys(given).join(", ")}`,
      `functions by version, without a gap up to ${version - 1}`,
    );
  return steps;
}

/** @throws InvalidPayloadError; the value as it is without a schema. */
export async function parse(
  schema: StandardSchemaV1 | undefined,
  value: unknown,
  task: string,
  end: "input" | "output",
): Promise<unknown> {
  if (schema === undefined) return value;
  const outcome = await schema["~standard"].validate(value);
  if (outcome.issues === undefined) return outcome.value;
  throw new InvalidPayloadError(task, end, outcome.issues.slice(0, 20).map(textOf));
}

function textOf({ message, path }: StandardSchemaV1.Issue): string {
  const at = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return at === "" ? message : `${at}: ${message}`;
}
