// What a pool and its worker threads say to each other.

/** From the pool. */
export type ToThread =
  | { readonly type: "run"; readonly id: number; readonly model: string; readonly input: unknown }
  | { readonly type: "cancel"; readonly id: number; readonly reason: string };

/** From a thread. */
export type FromThread =
  | { readonly type: "ready" }
  | { readonly type: "progress"; readonly id: number; readonly value: unknown }
  | { readonly type: "succeeded"; readonly id: number; readonly output: unknown }
  | { readonly type: "failed"; readonly id: number; readonly reason: string; readonly message: string };
