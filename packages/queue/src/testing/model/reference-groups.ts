// What is known of groups, said as plainly as possible: a limit, and what is missing to a full bucket.
import type { GroupLimit } from "../../store/store.ts";

interface ReferenceGroup {
  limit: GroupLimit;
  /** In tokens times `perMs`, at that time. */
  debt: number;
  at: number;
}

export class ReferenceGroups {
  readonly #groups = new Map<string, ReferenceGroup>();

  /** A task joins a group: what it says counts, but what a redriven one says only if nothing is known. */
  join(
    name: string | undefined,
    says: GroupLimit | undefined,
    hasLive: boolean,
    now: number,
    isRedriven: boolean = false,
  ): void {
    if (name === undefined) return;
    const known = this.#groups.get(name);
    if (known !== undefined) fill(known, now);
    if (known === undefined || (!hasLive && known.debt === 0)) {
      this.#groups.set(name, { limit: says ?? { concurrency: 1 }, debt: 0, at: now });
      return;
    }
    if (says === undefined || isRedriven) return;
    const [old, { rate }] = [known.limit.rate, says];
    if (old === undefined || rate === undefined) known.debt = 0;
    else if (old.tasks !== rate.tasks || old.perMs !== rate.perMs)
      known.debt = Math.min(Math.ceil((known.debt / old.perMs) * rate.perMs), rate.tasks * rate.perMs);
    known.limit = says;
  }

  mayStart(name: string, before: number, now: number): boolean {
    const group = this.#groups.get(name)!;
    return before < group.limit.concurrency && opensAt(group, now) <= now;
  }

  start(name: string | undefined, now: number): void {
    const group = name === undefined ? undefined : this.#groups.get(name)!;
    if (group?.limit.rate === undefined) return;
    fill(group, now);
    group.debt += group.limit.rate.perMs;
  }

  /** The next moment at which a bucket has a token again, or is full. */
  nextDue(now: number): number {
    const times = [...this.#groups.values()].flatMap((group) => [opensAt(group, now), fullAt(group, now)]);
    return Math.min(...times.filter((at) => at > now));
  }
}

function fill(group: ReferenceGroup, now: number): void {
  group.debt = debtAt(group, now);
  group.at = now;
}

function debtAt({ limit, debt, at }: ReferenceGroup, now: number): number {
  return Math.max(0, debt - (now - at) * (limit.rate?.tasks ?? 0));
}

function opensAt(group: ReferenceGroup, now: number): number {
  const { rate } = group.limit;
  if (rate === undefined) return now;
  const missing = debtAt(group, now) + rate.perMs - rate.tasks * rate.perMs;
  return now + Math.max(0, Math.ceil(missing / rate.tasks));
}

function fullAt(group: ReferenceGroup, now: number): number {
  const { rate } = group.limit;
  return rate === undefined ? now : now + Math.ceil(debtAt(group, now) / rate.tasks);
}
