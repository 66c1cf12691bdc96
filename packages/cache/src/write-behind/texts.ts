// Keys, values and errors as the texts that a log keeps: well-formed Unicode without U+0000, whatever they were.
import { optionsOf } from "@holdfast/core";
import type { Cacheable, CacheKey } from "../contract.ts";
import { textOfKey } from "../key.ts";
import type { WriteCodec } from "./contract.ts";

/** Longest error that is kept with a failed write, in characters. */
const MAX_ERROR_LENGTH = 1_000;

/**
 * A key as JSON, so that another process can tell what it was; JSON escapes what is no text.
 *
 * @throws InvalidOptionError for what is no key.
 */
export function logKeyOf(key: CacheKey): string {
  textOfKey(key);
  return JSON.stringify(key);
}

export function keyOfLog(text: string): CacheKey {
  return JSON.parse(text) as CacheKey;
}

/** What goes to the log: as JSON, or another codec's text as a text of JSON, since it may be any. */
export function logCodec<Value extends Cacheable>(codec: WriteCodec<Value> | undefined): WriteCodec<Value> {
  if (codec === undefined) return { encode: asJson, decode: (text) => JSON.parse(text) as Value };
  return {
    encode: (value) => {
      const text: unknown = codec.encode(value);
      if (typeof text !== "string")
        optionsOf("writeBehind").refuse("codec", text, "one that encodes to texts");
      return JSON.stringify(text);
    },
    decode: (text) => codec.decode(JSON.parse(text) as string),
  };
}

export function errorText({ name, message }: Error): string {
  return `${name}: ${message}`.slice(0, MAX_ERROR_LENGTH).replace(/\0|\p{Surrogate}/gu, "\uFFFD");
}

function asJson(value: Cacheable): string {
  const isKept =
    typeof value !== "bigint" &&
    typeof value !== "symbol" &&
    typeof value !== "function" &&
    (typeof value !== "number" || Number.isFinite(value));
  const text: unknown = isKept ? JSON.stringify(value) : undefined;
  return typeof text === "string"
    ? text
    : optionsOf("writeBehind").refuse("value", value, "what JSON can keep; or pass a codec");
}
