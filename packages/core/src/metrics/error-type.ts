// The kind of an error as a short, stable word: what a metric may carry, where a message may not.

/** The semantic conventions' word for an error whose kind cannot be told in few words. */
const OTHER = "_OTHER";

/**
 * What kind of error `thrown` is, for the attribute `error.type`: its `code` where it has one, else its name. A
 * code or name that is no plain word of at most 64 characters is `"_OTHER"`, so that no text of a message, key or
 * URL gets into a label.
 *
 * @returns `undefined` for `undefined`: there was no error.
 *
 * @example
 * ```ts
 * import { errorTypeOf, TimeoutError } from "@holdfast/core";
 *
 * errorTypeOf(new TimeoutError("db", 100)); // => "TIMEOUT"
 * errorTypeOf(new TypeError("fetch failed")); // => "TypeError"
 * errorTypeOf("a thrown text"); // => "_OTHER"
 * errorTypeOf(undefined); // => undefined
 * ```
 */
export function errorTypeOf(thrown: unknown): string | undefined {
  if (thrown === undefined) return undefined;
  if (typeof thrown !== "object" || thrown === null) return OTHER;
  const { code, name } = thrown as { readonly code?: unknown; readonly name?: unknown };
  return plainWord(code) ?? plainWord(name) ?? OTHER;
}

function plainWord(value: unknown): string | undefined {
  return typeof value === "string" && /^\w{1,64}$/.test(value) ? value : undefined;
}
