// What the scheduler is told and what it answers with: events in, commands out, nothing else.
import type { Device } from "../device.ts";

/** A request as the scheduler sees it. */
export interface ScheduledRequest {
  /** Unique, and never used again. */
  readonly id: number;
  /** `name@version`. */
  readonly model: string;
  /** Higher goes first. */
  readonly priority: number;
  /** On the owner's monotonic clock, in milliseconds; `Infinity` without one. */
  readonly deadline: number;
}

/** Something that has happened. */
export type SchedulerEvent<Request extends ScheduledRequest> =
  | { readonly type: "request"; readonly request: Request }
  /** Its caller wants a request back. */
  | { readonly type: "cancel"; readonly id: number }
  /** A running request has ended, well or not, and its place is free. */
  | { readonly type: "done"; readonly id: number }
  | { readonly type: "device-up"; readonly device: Device }
  | { readonly type: "device-down"; readonly device: string }
  /** The moment that `nextWake` named has come. */
  | { readonly type: "timer" };

/** What is to be done now. */
export type SchedulerCommand<Request extends ScheduledRequest> =
  | {
      readonly type: "run";
      readonly batch: number;
      readonly device: string;
      readonly model: string;
      readonly requests: readonly Request[];
    }
  /** Refused: too many wait. */
  | {
      readonly type: "refuse";
      readonly request: Request;
      readonly waiting: number;
      readonly retryAfterMs: number;
    }
  /** A waiting request is out: cancelled, or its deadline cannot be met any more. */
  | { readonly type: "drop"; readonly request: Request; readonly why: "cancelled" | "deadline" }
  /** A running request is to stop; it keeps its place until it is `done`. */
  | {
      readonly type: "stop";
      readonly request: Request;
      readonly device: string;
      readonly why: "cancelled" | "deadline";
    }
  /** The device that ran a request has gone down. */
  | { readonly type: "lost"; readonly request: Request; readonly device: string };
