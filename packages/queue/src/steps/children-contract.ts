// Children of a task as its handler sees them: spawned, awaited without a slot, and what became of them.
import type { EnqueueOptions } from "../queue/enqueue-options.ts";
import type { TaskFailure } from "../task/task-status.ts";
import type { TaskDefinition } from "../task/task.ts";

/** A child's place, limits and delay; its ID follows from its parent's and the step's name. */
export type SpawnOptions = Omit<EnqueueOptions, "id" | "parent" | "dedupKey" | "signal">;

/** A task that was added as a child of this one. */
export interface ChildTask<Output = unknown> {
  readonly id: string;
  readonly task: TaskDefinition<never, unknown, never, Output>;
}

/** What became of a child. `forgotten`: it has ended, and is no longer kept. */
export type ChildOutcome<Output = unknown> =
  | { readonly id: string; readonly state: "completed"; readonly result: Output }
  | { readonly id: string; readonly state: "failed"; readonly error: TaskFailure }
  | { readonly id: string; readonly state: "cancelled"; readonly reason: string }
  | { readonly id: string; readonly state: "forgotten" };

export interface JoinOptions {
  /** Throws a {@link ChildFailedError} when one of them has not completed. @defaultValue false */
  readonly mustComplete?: boolean;
}

/** The outcomes of children, in their order. */
export type ChildOutcomes<Children extends readonly ChildTask[]> = {
  readonly [Index in keyof Children]: ChildOutcome<
    Children[Index] extends ChildTask<infer Output> ? Output : never
  >;
};
