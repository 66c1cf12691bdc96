// The one contract of everything that wraps work: run a task, say your name, show your state.
import type { Context, RunOptions } from "./context.ts";

/** Work that a policy runs. What it throws, at once or later, is the call's failure. */
export type Task<T> = (context: Context) => T | PromiseLike<T>;

/** Exists in types only. */
declare const extra: unique symbol;

/**
 * Wraps work. Immutable from outside; safe to share between callers.
 *
 * @typeParam Extra - What the policy itself may answer instead of the task's value, as `fallback` does.
 */
export interface Policy<out Extra = never> {
  /** What kind of policy it is: `"retry"`, `"timeout"`, `"circuit-breaker"`. */
  readonly kind: string;
  /** The name it was given, or its kind. Appears in errors, events and snapshots. */
  readonly name: string;
  /** Runs `task` under this policy. */
  run<T>(task: Task<T>, options?: RunOptions): Promise<T | Extra>;
  /** Its present state as plain JSON. */
  snapshot(): PolicySnapshot;
  /** What it does, for `explain()` and for those who check the order of a pipeline. */
  describe(): PolicyDescription;
  /**
   * Never there at run time: it carries `Extra` where a type is derived from a policy, since `run`, being generic
   * itself, does not.
   */
  readonly [extra]?: () => Extra;
}

/** What a policy may answer besides the task's value: `string` for a policy that falls back to one. */
export type ExtraOf<P> = P extends { readonly [extra]?: () => infer Extra } ? Extra : never;

/** A policy's present state; plain JSON. */
export interface PolicySnapshot {
  readonly kind: string;
  readonly name: string;
  readonly [field: string]: unknown;
}

/** What a policy does, in one sentence and in the few facts that matter for its place in a pipeline. */
export interface PolicyDescription {
  readonly kind: string;
  readonly name: string;
  /** Such as `tries up to 3 times, exponential backoff from 100ms`. */
  readonly summary: string;
  /** How often it may start its inner work, at most; 1 when it never repeats. */
  readonly maxRuns?: number;
  /** How long it lets its inner work take, in milliseconds, if it limits that. */
  readonly limitMs?: number;
  /** A pipeline's own layers, outermost first. */
  readonly layers?: readonly PolicyDescription[];
}
