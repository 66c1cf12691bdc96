// What the makers of all limits check.
import type { Duration } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { LimitOptions } from "./limit.ts";
import { MAX_PERIOD_MS } from "./limit.ts";

const NAME = /^[\w.-]{1,64}$/;

/** Name and scope, checked. */
export function identityOf<By extends string>(
  owner: string,
  options: LimitOptions<By>,
  fallback: string,
): { readonly name: string; readonly by: By } {
  const check = optionsOf(owner);
  check.object("options", options);
  const { name = fallback, by = "key" as By } = options;
  const expected = "1 to 64 letters, digits, '-', '_' or '.'";
  if (typeof name !== "string" || !NAME.test(name)) check.refuse("name", name, expected);
  if (typeof by !== "string" || !NAME.test(by)) check.refuse("by", by, expected);
  return { name, by };
}

/** A period in whole milliseconds: half of one would be lost on the way to a store. */
export function periodOf(owner: string, option: string, period: Duration): number {
  const check = optionsOf(owner);
  const ms = check.duration(option, period, { min: 1, max: MAX_PERIOD_MS });
  return Number.isInteger(ms) ? ms : check.refuse(option, period, "a whole number of milliseconds");
}

/** Most tokens of any limit. */
export const MAX_QUOTA = 1_000_000_000;
