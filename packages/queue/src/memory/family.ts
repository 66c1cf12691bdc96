// Parents and their children: who belongs to whom, and how many of them a parent would wait for.
import { LinkedList } from "./linked-list.ts";
import type { TaskEntry } from "./task-entry.ts";

/** Makes a task the child of another, which waits for it unless it has ended before. */
export function adopt(parent: TaskEntry, child: TaskEntry, isAwaited: boolean = true): void {
  parent.children ??= new LinkedList();
  child.parent = parent;
  child.childNode = parent.children.append(child);
  child.isAwaited = isAwaited;
  if (isAwaited) parent.openChildren += 1;
}

/** A task has ended. Answers its parent if that waits for its children and this was the last of them. */
export function released(child: TaskEntry): TaskEntry | undefined {
  const { parent } = child;
  if (parent === undefined || !child.isAwaited) return undefined;
  child.isAwaited = false;
  parent.openChildren -= 1;
  const isLast = parent.openChildren === 0 && parent.state === "waiting" && parent.waitsForChildren;
  return isLast ? parent : undefined;
}

/** A task is forgotten: nobody is its child any more, and it is nobody's. */
export function parted(entry: TaskEntry): void {
  for (const child of entry.children?.page(Infinity) ?? []) child.parent = child.childNode = undefined;
  if (entry.childNode !== undefined) entry.parent?.children?.delete(entry.childNode);
  entry.parent = entry.childNode = entry.children = undefined;
}
