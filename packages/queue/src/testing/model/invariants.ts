// What must hold in any history of a queue, looked at from outside: through the answers of the store alone.
import { ensure, same } from "@holdfast/core/testing";
import type {
  Checkpoint,
  ClaimedTask,
  LeaseRef,
  NewTask,
  QueueStats,
  QueueStore,
} from "../../store/store.ts";
import type { TaskStatus } from "../../task/task-status.ts";
import { hasEnded } from "../../task/task-status.ts";
import { QUEUE } from "./arbitraries.ts";

interface Seen {
  status: TaskStatus;
  checkpoints: readonly Checkpoint[];
}

export class QueueInvariants {
  /** As each was at the last look. */
  readonly #seen = new Map<string, Seen>();
  readonly #leases = new Map<string, LeaseRef>();
  readonly #started = new Map<string, number>();
  readonly #givenBack = new Map<string, number>();
  readonly #tasks = new Map<string, NewTask>();
  /** The highest that was ever said, by group. */
  readonly #concurrency = new Map<string, number>();

  constructor(private readonly store: () => QueueStore) {}

  added(task: NewTask): void {
    this.#tasks.set(task.id, task);
    for (const counts of [this.#started, this.#givenBack]) counts.delete(task.id);
    this.#seen.delete(task.id);
    const { group, groupLimit } = task;
    if (group === undefined) return;
    const concurrency = Math.max(this.#concurrency.get(group) ?? 1, groupLimit?.concurrency ?? 1);
    this.#concurrency.set(group, concurrency);
  }

  redriven(id: string): void {
    for (const counts of [this.#started, this.#givenBack]) counts.delete(id);
    this.#seen.delete(id);
  }

  givenBack(id: string): void {
    this.#givenBack.set(id, (this.#givenBack.get(id) ?? 0) + 1);
  }

  async claimed(tasks: readonly ClaimedTask[]): Promise<void> {
    same(new Set(tasks.map(({ id }) => id)).size, tasks.length, "I3: no task is leased twice at a time");
    for (const { id, fence } of tasks) {
      const before = this.#leases.get(id);
      this.#leases.set(id, { id, fence });
      this.#started.set(id, (this.#started.get(id) ?? 0) + 1);
      if (before === undefined) continue;
      ensure(fence > before.fence, `I4: the fence of ${id} rises strictly`);
      const [late] = await this.store().renew(QUEUE, [before], 1_000);
      same(late?.written, false, `I3, I4: the lease on ${id} before is not held any more`);
    }
  }

  /** Looks at everything there is. */
  async hold(
    found: readonly (TaskStatus | undefined)[],
    stats: QueueStats,
    ids: readonly string[],
  ): Promise<void> {
    const checkpoints = await Promise.all(ids.map((id) => this.store().checkpoints(QUEUE, id)));
    for (const [index, status] of found.entries()) {
      if (status === undefined) this.#seen.delete(ids[index]!);
      else this.#holdsOf(status, checkpoints[index]!);
    }
    const there = found.filter((status) => status !== undefined);
    for (const [state, count] of Object.entries(stats))
      same(
        there.filter((status) => status.state === state).length,
        count,
        `I1, I12: each task is in one state, and as many as are counted are ${state}`,
      );
    const keys = there.filter((status) => !hasEnded(status)).map(({ id }) => this.#tasks.get(id)?.dedupKey);
    const held = keys.filter((key) => key !== undefined);
    same(new Set(held).size, held.length, "I9: one live task has a dedup key");
    for (const [group, most] of this.#concurrency) {
      const running = there.filter((status) => status.group === group && status.state === "running");
      ensure(running.length <= most, `I7, I8: no more than ${most} of group ${group} run at a time`);
    }
  }

  #holdsOf(status: TaskStatus, checkpoints: readonly Checkpoint[]): void {
    const { id } = status;
    const before = this.#seen.get(id);
    this.#seen.set(id, { status, checkpoints });
    const runs = (this.#started.get(id) ?? 0) - (this.#givenBack.get(id) ?? 0);
    const allowed = this.#tasks.get(id)!.maxAttempts + status.leaseLosses;
    ensure(runs <= allowed, `I5: ${id} runs no more often than its tries and lost leases allow`);
    if (before === undefined) return;
    if (hasEnded(before.status)) same(status, before.status, `I2: ${id} has ended, and stays so`);
    ensure(status.lastSeq >= before.status.lastSeq, `I4: the events of ${id} go on`);
    same(
      checkpoints.slice(0, before.checkpoints.length),
      before.checkpoints,
      `I10: what ${id} has recorded stays as it was`,
    );
    if (before.status.state === "scheduled" && status.state === "running")
      ensure(status.startedAt >= before.status.dueAt, `I6: ${id} is not started before its time`);
  }
}
