// Any JavaScript string as text that every server keeps: PostgreSQL refuses NUL, UTF-8 has no lone surrogates.

const MARK = "\u0001";
// eslint-disable-next-line no-control-regex
const NEEDS_ESCAPE = /^\u0001|\u0000|\p{Surrogate}/u;

/** The text itself, if servers can keep it; else an escaped form. Different texts have different forms. */
export function toStoredText(text: string): string {
  return NEEDS_ESCAPE.test(text) ? MARK + JSON.stringify(text) : text;
}

/** What {@link toStoredText} was given. */
export function fromStoredText(stored: string): string {
  return stored.startsWith(MARK) ? (JSON.parse(stored.slice(MARK.length)) as string) : stored;
}
