// Any JavaScript string as text that every server keeps: PostgreSQL refuses NUL, UTF-8 has no lone surrogates.

// eslint-disable-next-line no-control-regex
const UNSAFE = /[\u0000\u0001]|\p{Surrogate}/gu;
// eslint-disable-next-line no-control-regex
const ESCAPED = /\u0001([0-9a-f]{4})/g;

/**
 * The text itself, if servers can keep it. Otherwise what they cannot becomes U+0001 and four digits: 5 bytes for a
 * character at most, so that a key of 255 always fits into an index.
 */
export function toStoredText(text: string): string {
  return text.replace(UNSAFE, (unit) => `\u0001${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** What {@link toStoredText} was given. */
export function fromStoredText(stored: string): string {
  return stored.replace(ESCAPED, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
