// What steps ask of the run they belong to.
import type { Random } from "@holdfast/core";
import type { Queue } from "../queue/queue-contract.ts";
import type { ClaimedTask, Settlement, WriteOutcome } from "../store/store.ts";

type Suspend = Extract<Settlement, { readonly kind: "suspend" }>;

/** Until when a run is suspended. */
export type Suspension = Omit<Suspend, "kind" | "id" | "fence">;

/** A run of a task. */
export interface StepHost {
  readonly queue: Queue;
  readonly worker: string;
  readonly claimed: ClaimedTask;
  readonly random: Random;
  /** How long the store may take to answer, in milliseconds. */
  readonly patienceMs: number;
  /** How long a function that was told to stop may take, in milliseconds. */
  readonly graceMs: number;
  /** Milliseconds left of this run's timeout. */
  readonly remainingMs: number;
  /** Why the run was told to stop, if it was. */
  readonly reason: Error | undefined;
  readonly signal: AbortSignal;
  /** Whether the lease is ours as far as we know. */
  readonly isOurs: boolean;
  /** Whether the handler has ended or was left behind: no step is begun any more. */
  readonly isOver: boolean;
  /** Whether the run has ended: what steps that were begun come to is of no use any more. */
  readonly hasEnded: boolean;
  /** Finds out by this machine's clock whether the lease has ended meanwhile: the run may have been frozen. */
  checkLease(): void;
  /** Throws what a handler is to see when a write was refused. */
  heed(outcome: WriteOutcome): void;
  /** The wait after this many failures, in milliseconds, as the task's own backoff has it. */
  retryDelay(failures: number, thrown: unknown): number;
  /** Fails the task for good; the handler is left where it is. */
  fail(error: Error): void;
  /** The handler waits in a step for ever: once it was left behind, it takes no place of its worker's any more. */
  stayBehind(): void;
  /** Ends the run without an outcome; the handler is left where it is. */
  suspend(until: Suspension): void;
}
