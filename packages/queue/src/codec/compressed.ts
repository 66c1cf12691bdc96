// Payloads that are large enough to be worth it, deflated.
import { optionsOf } from "@holdfast/core";
import { PayloadTooLargeError } from "../errors.ts";
import type { Payload } from "../task/payload.ts";
import { envelope, fieldsOf, isEnvelope } from "./envelope.ts";
import { PayloadTamperedError } from "./errors.ts";
import { bytesPayload, payloadBytes } from "./payload-bytes.ts";
import type { PayloadCodec } from "./payload-codec.ts";

export interface CompressedOptions {
  /** Smaller payloads stay as they are, in bytes. @defaultValue 4_096 */
  readonly above?: number;
  /** Largest value, in bytes, before it is deflated; one that inflates to more is refused. @defaultValue 16_777_216 */
  readonly maxBytes?: number;
}

const WORD = "$deflated";

/**
 * Deflates large payloads (RFC 1951). Put it before `encrypted()`, since what is encrypted does not get smaller; and
 * not where a stranger decides a part of a payload whose other part is secret: its size then tells of the secret.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function compressed(options: CompressedOptions = {}): PayloadCodec {
  const check = optionsOf("compressed");
  const above = check.integer("above", options.above, { min: 0 }, 4_096);
  const maxBytes = check.integer("maxBytes", options.maxBytes, { min: 1 }, 16_777_216);
  return {
    name: "compressed",
    maxBytes,
    encode: async (payload) => {
      const bytes = payloadBytes(payload);
      if (bytes.byteLength <= above && !isEnvelope(WORD, payload)) return payload;
      const deflated = await through(new CompressionStream("deflate-raw"), bytes, Infinity);
      return envelope(WORD, [], [deflated]);
    },
    decode: async (payload, place): Promise<Payload> => {
      if (fieldsOf(WORD, payload) === undefined) return payload;
      const [deflated] = payload.blobs;
      if (deflated === undefined) throw new PayloadTamperedError(place, "the envelope is broken");
      // The head of the bytes tells of texts and blobs: a little more than the value itself.
      const inflating = through(new DecompressionStream("deflate-raw"), deflated, 2 * maxBytes + 1_024);
      const inflated = await inflating.catch((error: unknown) => {
        throw new PayloadTamperedError(place, "it does not inflate", { cause: error });
      });
      const inner = bytesPayload(inflated);
      if (inner === undefined) throw new PayloadTamperedError(place, "what was deflated is no payload");
      return inner;
    },
  };
}

/** What the stream makes of the bytes. @throws PayloadTooLargeError for more than `max` */
async function through(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  max: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const source = new Blob([new Uint8Array(bytes)]).stream();
  const reader = source.pipeThrough(stream).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const part: Uint8Array = next.value;
    length += part.byteLength;
    if (length > max) {
      await reader.cancel();
      throw new PayloadTooLargeError(length, max);
    }
    parts.push(part);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
