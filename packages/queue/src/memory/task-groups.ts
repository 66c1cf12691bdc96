// Which task of each group may run: the one that was added first.
import { LinkedList } from "./linked-list.ts";
import type { TaskEntry } from "./task-entry.ts";

export class TaskGroups {
  readonly #groups = new Map<string, LinkedList<TaskEntry>>();

  /** Puts a live task at the end of its group. */
  join(entry: TaskEntry): void {
    const { group } = entry.task;
    if (group === undefined) return;
    const members = this.#groups.get(group) ?? new LinkedList();
    this.#groups.set(group, members);
    entry.groupNode = members.append(entry);
  }

  /** Whether no task of its group is before it. */
  isFirst(entry: TaskEntry): boolean {
    return entry.groupNode === undefined || entry.groupNode.before === undefined;
  }

  /** Takes out a task that has ended. Answers the one whose turn it is now, if that has changed. */
  leave(entry: TaskEntry): TaskEntry | undefined {
    const { groupNode: node } = entry;
    const { group } = entry.task;
    if (node === undefined || group === undefined) return undefined;
    const wasFirst = node.before === undefined;
    const members = this.#groups.get(group)!;
    members.delete(node);
    entry.groupNode = undefined;
    if (members.size === 0) this.#groups.delete(group);
    return wasFirst ? members.first : undefined;
  }
}
