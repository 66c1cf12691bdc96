// How a queue writes inputs, results and checkpoints, and reads them: JSON and bytes, then its codecs.
import { optionsOf } from "@holdfast/core";
import { isSealed } from "../codec/envelope.ts";
import { PayloadCodecError } from "../codec/errors.ts";
import type { PayloadCodec, PayloadPlace } from "../codec/payload-codec.ts";
import type { Payload } from "./payload.ts";
import { checkPayloadSize, decodePayload, encodePayload } from "./payload.ts";

/** Which payload of a queue it is. */
export type PayloadOf = Omit<PayloadPlace, "queue">;

/** How the payloads of one queue are written and read. At once where there are no codecs. */
export interface PayloadFormat {
  /** Whether there are no codecs: then nothing here waits. */
  readonly plain: boolean;
  /** The value as JSON and bytes. @throws UnserializableError, PayloadTooLargeError */
  encode(value: unknown): Payload;
  /** An encoded value as it is stored. @throws what the codecs throw, PayloadTooLargeError */
  seal(payload: Payload, of: PayloadOf, signal?: AbortSignal): Payload | Promise<Payload>;
  /** What was sealed. @throws what the codecs throw; PayloadCodecError where there are none, and it was sealed */
  open(payload: Payload, of: PayloadOf, signal?: AbortSignal): Payload | Promise<Payload>;
  /** Encodes and seals. */
  write(value: unknown, of: PayloadOf, signal?: AbortSignal): Payload | Promise<Payload>;
  /** Opens and decodes. */
  read(payload: Payload, of: PayloadOf, signal?: AbortSignal): unknown;
}

const MAX_CODECS = 10;

/** @throws InvalidOptionError for what is no list of codecs. */
export function payloadFormat(
  queue: string,
  maxBytes: number,
  codecs: readonly PayloadCodec[] = [],
): PayloadFormat {
  if (!Array.isArray(codecs) || codecs.length > MAX_CODECS || !codecs.every(isCodec))
    optionsOf("queue").refuse("codecs", codecs, `a list of at most ${MAX_CODECS} codecs`);
  return codecs.length === 0 ? plainFormat(queue, maxBytes) : new CodedFormat(queue, maxBytes, codecs);
}

function plainFormat(queue: string, maxBytes: number): PayloadFormat {
  // What only a codec can read must not pass for the value itself.
  const open = (payload: Payload, of: PayloadOf): Payload => {
    if (isSealed(payload)) throw new PayloadCodecError({ queue, ...of });
    return payload;
  };
  return {
    plain: true,
    encode: (value) => encodePayload(value, maxBytes),
    seal: (payload) => payload,
    open,
    write: (value) => encodePayload(value, maxBytes),
    read: (payload, of) => decodePayload(open(payload, of)),
  };
}

class CodedFormat implements PayloadFormat {
  readonly plain = false;
  readonly #takes: number;

  constructor(
    private readonly queue: string,
    private readonly maxBytes: number,
    private readonly codecs: readonly PayloadCodec[],
  ) {
    this.#takes = Math.max(maxBytes, ...codecs.map((codec) => codec.maxBytes ?? 0));
  }

  encode(value: unknown): Payload {
    return encodePayload(value, this.#takes);
  }

  async seal(payload: Payload, of: PayloadOf, signal?: AbortSignal): Promise<Payload> {
    const place = { queue: this.queue, ...of };
    let sealed = payload;
    for (const codec of this.codecs) sealed = await codec.encode(sealed, place, signal);
    checkPayloadSize(sealed, this.maxBytes);
    return sealed;
  }

  async open(payload: Payload, of: PayloadOf, signal?: AbortSignal): Promise<Payload> {
    const place = { queue: this.queue, ...of };
    let opened = payload;
    for (const codec of this.codecs.toReversed()) opened = await codec.decode(opened, place, signal);
    return opened;
  }

  async write(value: unknown, of: PayloadOf, signal?: AbortSignal): Promise<Payload> {
    return this.seal(this.encode(value), of, signal);
  }

  async read(payload: Payload, of: PayloadOf, signal?: AbortSignal): Promise<unknown> {
    return decodePayload(await this.open(payload, of, signal));
  }
}

function isCodec(codec: unknown): boolean {
  const { encode, decode } = (codec ?? {}) as { readonly encode?: unknown; readonly decode?: unknown };
  return typeof encode === "function" && typeof decode === "function";
}
