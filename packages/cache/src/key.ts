// Keys as texts: no two keys that differ are the same text.
import { optionsOf } from "@holdfast/core";
import type { CacheKey } from "./contract.ts";

/** Longest key, as text. */
const MAX_KEY_LENGTH = 4_096;

/** Marks what is no plain text; a text that begins with it is marked too. */
const MARK = "\0";

/** @throws InvalidOptionError for what is no key. */
export function textOfKey(key: CacheKey): string {
  if (typeof key === "string" && key.length > 0 && key.length <= MAX_KEY_LENGTH)
    return key.startsWith(MARK) ? MARK + JSON.stringify(key) : key;
  if (typeof key === "number" && Number.isFinite(key)) return `${MARK}${key === 0 ? 0 : key}`;
  if (Array.isArray(key) && key.length > 0 && key.every(isPart)) {
    const text = MARK + JSON.stringify(key);
    if (text.length <= MAX_KEY_LENGTH) return text;
  }
  return optionsOf("cache").refuse(
    "key",
    key,
    `a text of 1 to ${MAX_KEY_LENGTH} characters, a finite number, or a list of such`,
  );
}

function isPart(part: unknown): boolean {
  return typeof part === "string" || (typeof part === "number" && Number.isFinite(part));
}
