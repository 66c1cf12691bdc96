// The digest by which a repeated request is told from another one under the same key.

/**
 * SHA-256, as 64 hexadecimal digits, of a request: bytes and text as they are, anything else as JSON whose object
 * keys are sorted, so that their order does not count. `undefined` members are left out as JSON does.
 *
 * @throws TypeError when the value is cyclic or holds a `bigint`, as `JSON.stringify` does.
 *
 * @example
 * ```ts
 * import { fingerprintOf } from "@holdfast/core";
 *
 * const one = await fingerprintOf({ amount: 5, to: "ann" });
 * const same = await fingerprintOf({ to: "ann", amount: 5 });
 * one === same; // => true
 * ```
 */
export async function fingerprintOf(body: unknown): Promise<string> {
  // A letter for the kind, so that a text and the JSON that reads the same differ.
  const bytes =
    body instanceof Uint8Array
      ? concat("b", body)
      : new TextEncoder().encode(typeof body === "string" ? `s${body}` : `j${sortedJson(body)}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function concat(kind: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes.byteLength + 1);
  whole[0] = kind.charCodeAt(0);
  whole.set(bytes, 1);
  return whole;
}

// Through JSON first: `toJSON`, `undefined` and numbers behave as they always do, and cycles throw.
function sortedJson(body: unknown): string {
  const text = JSON.stringify(body) as string | undefined;
  return text === undefined ? "" : write(JSON.parse(text) as unknown);
}

function write(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${write(member)}`);
  return `{${members.join(",")}}`;
}
