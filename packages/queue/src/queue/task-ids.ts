// IDs that a queue is asked about.
import { optionsOf } from "@holdfast/core";
import type { TaskIds } from "./queue-contract.ts";

/** Of any length: what is no ID of ours is one that is not known. @throws InvalidOptionError for what is no text. */
export function taskId(verb: string, id: unknown): string {
  return typeof id === "string" ? id : optionsOf(verb).refuse("id", id, "the ID of a task, a string");
}

/** @throws InvalidOptionError */
export function taskIds(verb: string, given: TaskIds): readonly string[] {
  const ids = given.flat();
  for (const id of ids) taskId(verb, id);
  return ids;
}
