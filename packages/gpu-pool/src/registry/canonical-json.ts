// JSON of which there is one for each value, so that equal values have equal texts.
import type { OptionReader } from "@holdfast/core";
import type { JsonValue } from "./contract.ts";

/** Values within values, at most. */
const DEEPEST = 64;

/** The value as text, with the members of objects in the order of their names. Refuses what JSON cannot hold. */
export function canonicalJson(option: string, value: unknown, check: OptionReader): string {
  return JSON.stringify(canonical(option, value, check, 0));
}

function canonical(option: string, value: unknown, check: OptionReader, depth: number): JsonValue {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (depth === DEEPEST || typeof value !== "object")
    return check.refuse(option, value, `what JSON can hold, ${DEEPEST} levels deep at most`);
  if (Array.isArray(value)) return value.map((one) => canonical(option, one, check, depth + 1));
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    members.map(([name, member]) => [name, canonical(option, member, check, depth + 1)]),
  );
}
