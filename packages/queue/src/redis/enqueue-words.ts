// New tasks as words of the script: what many have in common is said once.
import type { NewTask } from "../store/store.ts";
import { turnCost } from "../store/store.ts";
import { whole } from "./script-words.ts";
import { toInputHead, toName, toStoredPayload } from "./stored-task.ts";
import type { Word } from "./word.ts";

/** Tasks of several callers, who each want all of theirs added or none: runs of tasks of one kind. */
export function enqueueWords(calls: readonly (readonly NewTask[])[], limit: number): readonly Word[] {
  const kinds = new Kinds();
  const words: Word[] = [];
  let runs = 0;
  let current: Kind | undefined;
  let countAt = 0;
  let count = 0;
  for (const tasks of calls)
    for (const task of tasks) {
      const kind = kinds.of(task, current);
      if (kind !== current) {
        current = kind;
        runs += 1;
        count = 0;
        countAt = words.push(kind.place, 0) - 1;
      }
      words[countAt] = count += 1;
      words.push(toName(task.id), kind.head + toStoredPayload(task.input));
      if (kind.hasMore) words.push(moreOf(task));
    }
  const sizes = calls.every(({ length }) => length === 1) ? ["-"] : calls.map(({ length }) => length);
  return ["enqueue", limit, calls.length, ...sizes, kinds.count, ...kinds.words, runs].concat(words);
}

interface Kind {
  readonly place: number;
  readonly like: NewTask;
  readonly hasMore: boolean;
  readonly head: string;
}

class Kinds {
  readonly words: Word[] = [];
  readonly #kinds: Kind[] = [];

  get count(): number {
    return this.#kinds.length;
  }

  of(task: NewTask, latest: Kind | undefined): Kind {
    const hasMore = isMoreSaid(task);
    const isOf = (kind: Kind): boolean => kind.hasMore === hasMore && isAlike(kind.like, task);
    if (latest !== undefined && isOf(latest)) return latest;
    return this.#kinds.find(isOf) ?? this.#add(task, hasMore);
  }

  #add(task: NewTask, hasMore: boolean): Kind {
    const { name, delayMs, priority, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs, weight } = task;
    const cost = turnCost(weight ?? 1);
    this.words.push(toName(name), whole(delayMs), priority, maxAttempts, maxLeaseLosses);
    this.words.push(whole(keepMs), whole(keepFailedMs), cost, hasMore ? 1 : 0);
    const kind = { place: this.#kinds.length + 1, like: task, hasMore, head: toInputHead(task) };
    this.#kinds.push(kind);
    return kind;
  }
}

function isAlike(a: NewTask, b: NewTask): boolean {
  return (
    a.name === b.name &&
    a.delayMs === b.delayMs &&
    a.priority === b.priority &&
    a.maxAttempts === b.maxAttempts &&
    a.maxLeaseLosses === b.maxLeaseLosses &&
    a.keepMs === b.keepMs &&
    a.keepFailedMs === b.keepFailedMs &&
    a.meta === b.meta &&
    a.weight === b.weight
  );
}

/** What few tasks say: key, group and its limit, tenant, parent, whether it waits for children, when it expires. */
function isMoreSaid(task: NewTask): boolean {
  return (
    task.dedupKey !== undefined ||
    task.group !== undefined ||
    task.tenant !== undefined ||
    task.parent !== undefined ||
    task.expireMs !== undefined ||
    task.waitsForChildren === true
  );
}

function moreOf({
  dedupKey,
  group,
  groupLimit,
  tenant,
  parent,
  waitsForChildren,
  expireMs,
}: NewTask): string {
  return JSON.stringify({
    k: dedupKey === undefined ? undefined : toName(dedupKey),
    g: group === undefined ? undefined : toName(group),
    l: groupLimit && [groupLimit.concurrency, groupLimit.rate?.tasks ?? 0, groupLimit.rate?.perMs ?? 0],
    t: tenant === undefined ? undefined : toName(tenant),
    p: parent === undefined ? undefined : toName(parent),
    w: waitsForChildren === true ? 1 : undefined,
    e: expireMs === undefined ? undefined : whole(expireMs),
  });
}
