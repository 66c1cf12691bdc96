// Which of several responses to one address is for a request (RFC 9111 §4.1).
import { digestOf } from "./digest.ts";

/** Most names in a Vary field; a response with more is not kept. */
const MAX_NAMES = 10;

/** Longest text of fields that is kept as it is. */
const MAX_PLAIN = 256;

/**
 * The names in `Vary`, in lower case and sorted; `undefined` for `*`, for what is no list of names, and for too many: then no
 * other request can be told to be like it.
 */
export function varyNamesOf(field: string | null): readonly string[] | undefined {
  const names = (field ?? "")
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
  const isList = names.every((name) => name !== "*" && /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name));
  const distinct = [...new Set(names)].sort();
  return isList && distinct.length <= MAX_NAMES ? distinct : undefined;
}

/**
 * What these fields of a request are, as a text: the same for two requests if, and only if, they mean the same in all of them. A
 * digest where one of them is a credential, so that no secret is kept, and where it would be long.
 */
export async function variantOf(
  names: readonly string[],
  request: Headers,
  credentials: ReadonlySet<string>,
): Promise<string> {
  if (names.length === 0) return "";
  const text = JSON.stringify(names.map((name) => [name, normalised(name, request.get(name))]));
  const isPlain = text.length <= MAX_PLAIN && !names.some((name) => credentials.has(name));
  return isPlain ? text : digestOf(text);
}

/** Only where it is known to mean the same (RFC 9111 §4.1): spaces, case and, for codings, order. */
function normalised(name: string, value: string | null): string | null {
  if (value === null || !name.startsWith("accept") || value.includes('"')) return value;
  const members = value
    .toLowerCase()
    .split(",")
    .map((member) => member.replace(/[ \t]/g, ""))
    .filter((member) => member !== "");
  if (name !== "accept-encoding") return members.join(",");
  return members
    .map((member) => member.replace(/;q=1(\.0*)?$/, ""))
    .sort()
    .join(",");
}
