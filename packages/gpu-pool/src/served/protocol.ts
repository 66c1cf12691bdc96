// What a pool and its workers say to each other, over the port of a thread or the channel of a process.
import type { ModelRef } from "../model.ts";

/** From the pool. */
export type ToWorker =
  | { readonly type: "load"; readonly call: number; readonly model: ModelRef }
  | { readonly type: "unload"; readonly call: number; readonly model: ModelRef }
  | { readonly type: "check"; readonly call: number }
  | {
      readonly type: "run";
      readonly batch: number;
      readonly model: ModelRef;
      readonly items: readonly { readonly id: number; readonly input: unknown }[];
    }
  | { readonly type: "cancel"; readonly id: number; readonly reason: string };

/** From a worker. */
export type FromWorker =
  | { readonly type: "ready" }
  /** To a `load`, `unload` or `check`. */
  | { readonly type: "done"; readonly call: number; readonly error?: WireError }
  /** A batch did not fit into memory; none of it is answered. */
  | { readonly type: "outOfMemory"; readonly batch: number }
  /** So much of the device's memory is free. */
  | { readonly type: "memory"; readonly freeBytes: number }
  | { readonly type: "progress"; readonly id: number; readonly value: unknown }
  | { readonly type: "succeeded"; readonly id: number; readonly output: unknown }
  | { readonly type: "failed"; readonly id: number; readonly error: WireError };

/** An error on its way between workers: a structured clone would lose its code and its name. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}
