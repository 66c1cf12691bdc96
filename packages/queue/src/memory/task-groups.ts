// Which tasks of each group may start: the first ones, in the order they were added, as often as its bucket allows.
import type { Place } from "@holdfast/core/collections";
import { IndexedHeap } from "@holdfast/core/collections";
import type { GroupLimit, NewTask } from "../store/store.ts";
import type { ListNode } from "./linked-list.ts";
import { LinkedList } from "./linked-list.ts";
import type { TaskEntry } from "./task-entry.ts";
import { isClaimedBefore } from "./task-entry.ts";
import type { KeptBucket } from "./token-bucket.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Where the one task goes that a group offers at a time: its best of those that may start. */
export interface Offers {
  offer(entry: TaskEntry): void;
  withdraw(entry: TaskEntry): void;
}

/** What is known of a group beside its tasks. */
export interface KeptGroup {
  readonly name: string;
  readonly concurrency: number;
  readonly bucket?: KeptBucket;
}

interface TaskGroup {
  readonly name: string;
  /** Its live tasks, in the order they were added. */
  readonly members: LinkedList<TaskEntry>;
  concurrency: number;
  /** How many of the members may run: the first ones, up to `edge`. */
  inside: number;
  edge: ListNode<TaskEntry> | undefined;
  /** Those inside that are ready. */
  readonly ready: IndexedHeap<TaskEntry>;
  offered: TaskEntry | undefined;
  bucket: TokenBucket | undefined;
  isOpen: boolean;
  /** When it opens, or is forgotten; and its place among the others by this. */
  due: number;
  place: number;
}

const IN_GROUP: Place<TaskEntry> = {
  of: (entry) => entry.groupPlace,
  set: (entry, at) => void (entry.groupPlace = at),
};

const DUE: Place<TaskGroup> = {
  of: (group) => group.place,
  set: (group, at) => void (group.place = at),
};

export class TaskGroups {
  readonly #groups = new Map<string, TaskGroup>();
  readonly #due = new IndexedHeap<TaskGroup>((a, b) => a.due < b.due, DUE);

  constructor(private readonly offers: Offers) {}

  /** When a group opens by itself next. */
  get nextDue(): number {
    return this.#due.first?.due ?? Infinity;
  }

  get kept(): readonly KeptGroup[] {
    return Array.from(this.#groups.values(), ({ name, concurrency, bucket }) =>
      bucket === undefined ? { name, concurrency } : { name, concurrency, bucket: bucket.kept },
    );
  }

  /** Takes what was kept of groups, and the live tasks in the order in which they were added. */
  restore(kept: readonly KeptGroup[], live: readonly TaskEntry[], now: number): void {
    for (const { name, concurrency, bucket } of kept) {
      const group = emptyGroup(name);
      group.concurrency = concurrency;
      if (bucket !== undefined) group.bucket = new TokenBucket(bucket.rate, bucket.at, bucket.debt);
      this.#groups.set(name, group);
    }
    for (const entry of live) this.join(entry, now, true);
    for (const group of this.#groups.values()) this.#update(group, now);
  }

  /** Puts a live task at the end of its group. A redriven one says nothing about a group that is known. */
  join(entry: TaskEntry, now: number, isRedriven: boolean = false): void {
    const { group: name, groupLimit }: NewTask = entry.task;
    if (name === undefined) return;
    let group = this.#groups.get(name);
    const isKnown = group !== undefined;
    if (group === undefined) this.#groups.set(name, (group = emptyGroup(name)));
    if (groupLimit !== undefined && !(isRedriven && isKnown)) limit(group, groupLimit, now);
    entry.groupNode = group.members.append(entry);
    this.#update(group, now);
  }

  /** Takes out a task that has ended. */
  leave(entry: TaskEntry, now: number): void {
    const { groupNode: node } = entry;
    if (node === undefined) return;
    const group = this.#of(entry);
    group.ready.remove(entry);
    if (entry.isInside) {
      entry.isInside = false;
      group.inside -= 1;
      if (group.edge === node) group.edge = node.before;
    }
    group.members.delete(node);
    entry.groupNode = undefined;
    this.#update(group, now);
  }

  /** A task of a group is ready. */
  ready(entry: TaskEntry): void {
    if (!entry.isInside) return;
    const group = this.#of(entry);
    group.ready.put(entry);
    this.#offer(group);
  }

  /** The task that a group has offered was taken. */
  started(entry: TaskEntry, now: number): void {
    const group = this.#of(entry);
    group.offered = undefined;
    group.ready.remove(entry);
    group.bucket?.take(now);
    this.#update(group, now);
  }

  /** Opens the groups whose time has come, and forgets those of which nothing is left to be known. */
  sweep(now: number): void {
    for (let group = this.#due.first; group !== undefined && group.due <= now; group = this.#due.first)
      this.#update(group, now);
  }

  #of({ task }: TaskEntry): TaskGroup {
    return this.#groups.get(task.group!)!;
  }

  #update(group: TaskGroup, now: number): void {
    const { bucket, members } = group;
    fit(group);
    group.isOpen = bucket === undefined || bucket.opensAt <= now;
    this.#offer(group);
    group.due = Infinity;
    if (bucket !== undefined && !group.isOpen) group.due = bucket.opensAt;
    else if (members.size === 0) group.due = bucket?.fullAt ?? now;
    if (members.size === 0 && group.due <= now) this.#groups.delete(group.name);
    if (group.due > now && group.due < Infinity) this.#due.put(group);
    else this.#due.remove(group);
  }

  #offer(group: TaskGroup): void {
    const best = group.isOpen ? group.ready.first : undefined;
    const { offered } = group;
    if (best === offered) return;
    group.offered = best;
    if (offered !== undefined) this.offers.withdraw(offered);
    if (best !== undefined) this.offers.offer(best);
  }
}

function emptyGroup(name: string): TaskGroup {
  return {
    name,
    members: new LinkedList(),
    concurrency: 1,
    inside: 0,
    edge: undefined,
    ready: new IndexedHeap(isClaimedBefore, IN_GROUP),
    offered: undefined,
    bucket: undefined,
    isOpen: true,
    due: Infinity,
    place: -1,
  };
}

function limit(group: TaskGroup, { concurrency, rate }: GroupLimit, now: number): void {
  group.concurrency = concurrency;
  if (rate === undefined) group.bucket = undefined;
  else if (group.bucket === undefined) group.bucket = new TokenBucket(rate, now);
  else group.bucket.change(rate, now);
}

/** Lets as many in as may run, and those out again that are too many. */
function fit(group: TaskGroup): void {
  while (group.inside > group.concurrency) {
    const last = group.edge!;
    last.item.isInside = false;
    group.ready.remove(last.item);
    group.edge = last.before;
    group.inside -= 1;
  }
  while (group.inside < group.concurrency && group.inside < group.members.size) {
    group.edge = group.edge === undefined ? group.members.firstNode : group.edge.behind;
    const entry = group.edge!.item;
    entry.isInside = true;
    group.inside += 1;
    if (entry.state === "ready") group.ready.put(entry);
  }
}
