// The hook that carries a trace from whoever adds a task to the handler that runs it.
import type { TraceCarrier } from "./task-meta.ts";

/** What is about to be added. */
export interface SendingTasks {
  readonly queue: string;
  readonly task: string;
  /** How many. */
  readonly count: number;
  /** The ID of the only one. */
  readonly id?: string;
}

/** What is about to be run. */
export interface ProcessingTask {
  readonly queue: string;
  readonly task: string;
  readonly id: string;
  readonly attempt: number;
  /** The trace of whoever added it. */
  readonly trace?: TraceCarrier;
}

/** Carries traces through a queue. `taskTracing()` of `@holdfast/queue/otel` makes one. */
export interface TaskTracing {
  /** Calls `send` once, with the trace that is to go with the tasks, and answers what it answers. */
  sending<T>(about: SendingTasks, send: (trace: TraceCarrier | undefined) => Promise<T>): Promise<T>;
  /** Calls `run` once, in the trace of the task, and answers what it answers. */
  processing<T>(about: ProcessingTask, run: () => Promise<T>): Promise<T>;
}
