// The directives of Cache-Control, read so that doubt makes a response less cacheable and never more.

/** By name, in lower case; `""` where a directive has no argument. */
export type Directives = ReadonlyMap<string, string>;

/** Largest number of seconds that is told apart (RFC 9111 §1.2.2). */
const MAX_SECONDS = 2 ** 31;

// What stands between directives is not looked at: a `no-store` behind a semicolon or a lost quote counts too.
const DIRECTIVE = /([!#$%&'*+.^_`|~0-9a-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?/gi;

/** No such field. */
const NONE: Directives = new Map();

/** The directives of a `Cache-Control` field (RFC 9111 §5.2). One that comes twice with two arguments has none that is valid. */
export function directivesOf(field: string | null): Directives {
  if (field === null || field === "") return NONE;
  const directives = new Map<string, string>();
  for (const [, name, quoted, plain] of field.matchAll(DIRECTIVE)) {
    const key = name!.toLowerCase();
    const argument = quoted ?? plain ?? "";
    const known = directives.get(key);
    directives.set(key, known === undefined || known === argument ? argument : "twice");
  }
  return directives;
}

/**
 * The argument in milliseconds; `undefined` where there is no such directive. Quoted numbers count (RFC 9111 §5.2), and too
 * large ones are cut.
 *
 * @param invalid - For an argument that is no number: RFC 9111 §4.2.1 has such a response taken as stale.
 */
export function msOf(directives: Directives, name: string, invalid: number): number | undefined {
  const argument = directives.get(name);
  if (argument === undefined) return undefined;
  return secondsOf(argument) ?? invalid;
}

/** Seconds in digits (RFC 9111 §1.2.2) as milliseconds. */
export function secondsOf(text: string): number | undefined {
  return /^\d+$/.test(text) ? Math.min(MAX_SECONDS, Number(text)) * 1_000 : undefined;
}
