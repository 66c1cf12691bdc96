// What a codec is: it turns payloads into others on their way into the store, and back on their way out.
import type { Payload } from "../task/payload.ts";

/** Which payload it is. Together the fields name it in its store. */
export interface PayloadPlace {
  readonly queue: string;
  /** The task's ID. */
  readonly id: string;
  readonly part: "input" | "result" | "checkpoint";
  /** The task's name for an input, the checkpoint's for a checkpoint, empty for a result. */
  readonly name: string;
}

/**
 * Turns payloads into others and back. Give one to `queue({ codecs })`, to all processes of the queue: the first of the
 * list works first on the way in and last on the way out.
 */
export interface PayloadCodec {
  /** For messages. */
  readonly name: string;
  /** Largest value it takes, in bytes, if that may be more than the queue's `maxPayloadBytes`. @defaultValue 0 */
  readonly maxBytes?: number;
  encode(payload: Payload, place: PayloadPlace, signal?: AbortSignal): Payload | Promise<Payload>;
  decode(payload: Payload, place: PayloadPlace, signal?: AbortSignal): Payload | Promise<Payload>;
}
