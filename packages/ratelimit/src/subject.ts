// Whom and how much: checked once, before any store sees it.
import { optionsOf } from "@holdfast/core";
import type { Limit } from "./limits/limit.ts";
import type { Cost, Subject } from "./store.ts";

/** Longest key, in characters. What is longer is best digested. */
export const MAX_KEY_LENGTH = 512;

const KEY = `a string of 1 to ${MAX_KEY_LENGTH} characters`;

/** @throws InvalidOptionError unless there is a key for everything that is counted by. */
export function checkSubject(subject: Subject, scopes: readonly string[]): void {
  if (typeof subject === "string") {
    if (subject.length === 0 || subject.length > MAX_KEY_LENGTH)
      optionsOf("take").refuse("subject", subject, KEY);
    if (scopes.length > 1) refuseSubject(subject, scopes);
    return;
  }
  if (typeof subject !== "object" || subject === null) refuseSubject(subject, scopes);
  for (const scope of scopes) {
    const key: unknown = Object.hasOwn(subject, scope) ? subject[scope] : undefined;
    if (typeof key !== "string" || key.length === 0 || key.length > MAX_KEY_LENGTH)
      optionsOf("take").refuse(`subject.${scope}`, key, KEY);
  }
}

/** @throws InvalidOptionError unless each limit can ever have as much. */
export function checkCost(cost: Cost, limits: readonly Limit[], isOverdraft: boolean): void {
  const check = optionsOf("take");
  if (typeof cost === "number") {
    for (const { quota } of limits) checkOne("cost", cost, isOverdraft ? Number.MAX_SAFE_INTEGER : quota);
    return;
  }
  check.object("cost", cost);
  const names = limits.map(({ name }) => name);
  for (const [name, value] of Object.entries(cost)) {
    const limit = limits.find((one) => one.name === name);
    if (limit === undefined) check.refuse("cost", name, `by names of its limits: ${names.join(", ")}`);
    else checkOne(`cost.${name}`, value, isOverdraft ? Number.MAX_SAFE_INTEGER : limit.quota);
  }
}

/** The limits of one call: others of the same names in the place of the limiter's own. */
export function limitsFor(own: readonly Limit[], others: readonly Limit[]): readonly Limit[] {
  const check = optionsOf("take");
  if (!Array.isArray(others)) check.refuse("limits", others, "a list of limits");
  for (const other of others) {
    const replaced = own.find(({ name }) => name === other.name);
    if (replaced === undefined) check.refuse("limits", other.name, "limits with names of this limiter's");
    if (replaced?.rule.kind !== other.rule.kind || replaced.by !== other.by)
      check.refuse(
        "limits",
        other.name,
        `a ${replaced?.algorithm} by "${replaced?.by}", as the one that it replaces`,
      );
  }
  return own.map((limit) => others.find(({ name }) => name === limit.name) ?? limit);
}

/** One text for a subject, the same for the same keys in any order. */
export function subjectId(subject: Subject, scopes: readonly string[]): string {
  return typeof subject === "string" ? subject : JSON.stringify(scopes.map((scope) => subject[scope]));
}

function checkOne(option: string, cost: unknown, max: number): void {
  optionsOf("take").integer(option, cost, { min: 0, max });
}

function refuseSubject(subject: unknown, scopes: readonly string[]): never {
  const parts = scopes.map((scope) => `${scope}: "…"`).join(", ");
  return optionsOf("take").refuse("subject", subject, `{ ${parts} }`);
}
