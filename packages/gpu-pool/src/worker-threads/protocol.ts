// What a pool and its worker threads say to each other.
import type { ModelRef } from "../model.ts";

/** From the pool. */
export type ToThread =
  | { readonly type: "load"; readonly call: number; readonly model: ModelRef }
  | { readonly type: "unload"; readonly call: number; readonly model: ModelRef }
  | { readonly type: "check"; readonly call: number }
  | {
      readonly type: "run";
      readonly model: ModelRef;
      readonly items: readonly { readonly id: number; readonly input: unknown }[];
    }
  | { readonly type: "cancel"; readonly id: number; readonly reason: string };

/** From a thread. */
export type FromThread =
  | { readonly type: "ready" }
  /** To a `load`, `unload` or `check`. */
  | { readonly type: "done"; readonly call: number; readonly error?: WireError }
  | { readonly type: "progress"; readonly id: number; readonly value: unknown }
  | { readonly type: "succeeded"; readonly id: number; readonly output: unknown }
  | { readonly type: "failed"; readonly id: number; readonly error: WireError };

/** An error on its way between threads: a structured clone would lose its code and its name. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}
