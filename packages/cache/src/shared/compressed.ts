// A codec that makes large texts small.
import { optionsOf } from "@holdfast/core";
import type { CacheCodec } from "../contract.ts";
import { base64Of, bytesOf } from "./base64.ts";

export interface CompressedOptions {
  /** Texts of more characters than this are compressed. From 0. @defaultValue 4_096 */
  readonly above?: number;
}

/** First character of what it writes. */
const AS_IT_IS = "-";
const DEFLATED = "z";

/**
 * Compresses what another codec writes (DEFLATE, RFC 1951, as base64), if it is large and becomes smaller by it. Works in
 * the background where the runtime does.
 *
 * @throws InvalidOptionError when `above` is out of range.
 *
 * @example
 * ```ts
 * import { compressed, jsonCodec } from "@holdfast/cache";
 *
 * const codec = compressed(jsonCodec<string>(), { above: 1_000 });
 * (await codec.encode("a".repeat(100_000))).length < 1_000; // => true
 * ```
 */
export function compressed<Value>(
  inner: CacheCodec<Value>,
  options: CompressedOptions = {},
): CacheCodec<Value> {
  const above = optionsOf("compressed").integer("above", options.above, { min: 0 }, 4_096);
  return {
    encode: async (value) => {
      const text = await inner.encode(value);
      if (text.length <= above) return AS_IT_IS + text;
      const small = base64Of(
        await through(new TextEncoder().encode(text), new CompressionStream("deflate-raw")),
      );
      return small.length < text.length ? DEFLATED + small : AS_IT_IS + text;
    },
    decode: async (text) => {
      const rest = text.slice(1);
      if (text[0] === AS_IT_IS) return inner.decode(rest);
      const bytes = await through(bytesOf(rest), new DecompressionStream("deflate-raw"));
      return inner.decode(new TextDecoder().decode(bytes));
    },
  };
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  transform: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
