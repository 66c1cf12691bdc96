// What a worker and its threads tell each other.

/** To a thread. */
export type ToThread =
  | {
      readonly type: "run";
      readonly run: number;
      readonly id: string;
      readonly input: unknown;
      readonly attempt: number;
      readonly maxAttempts: number;
      readonly fence: number;
    }
  | { readonly type: "abort"; readonly run: number; readonly reason: RemoteError };

/** From a thread. */
export type FromThread =
  | { readonly type: "progress"; readonly run: number; readonly value: unknown }
  | { readonly type: "log"; readonly run: number; readonly line: string }
  | { readonly type: "done"; readonly run: number; readonly result: unknown }
  | { readonly type: "failed"; readonly run: number; readonly error: RemoteError };

/** An error on its way between threads. */
export interface RemoteError {
  readonly code: string;
  readonly message: string;
  readonly permanent: boolean;
  readonly retryAfterMs?: number;
}
