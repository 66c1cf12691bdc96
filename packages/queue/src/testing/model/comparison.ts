// Everything that can be asked of a store, held against the reference, and the invariants beside it.
import { ensure, same } from "@holdfast/core/testing";
import type { QueueStore } from "../../store/store.ts";
import type { TaskStatus } from "../../task/task-status.ts";
import { IDS, QUEUE } from "./arbitraries.ts";
import { Followers } from "./followers.ts";
import { QueueInvariants } from "./invariants.ts";
import type { ReferenceQueue } from "./reference-queue.ts";
import type { ReferenceTask } from "./reference-task.ts";

export interface Real {
  store: QueueStore;
  /** Lets so many milliseconds pass on the store's clock. */
  readonly advance: (ms: number) => Promise<void>;
  /** Ends the process, as it were, and opens the store again. */
  readonly restart: () => Promise<void>;
  readonly invariants: () => QueueInvariants;
  readonly followers: () => Followers;
  /** The commands that were run, by name. */
  readonly history: string[];
}

export const LIMIT = 5;
const STATES = ["scheduled", "waiting", "ready", "running", "completed", "failed", "cancelled"] as const;

/** A store and its clock, to run commands on. */
export function realQueue(
  store: QueueStore,
  advance: (ms: number) => Promise<void>,
  restart?: () => QueueStore | Promise<QueueStore>,
): Real {
  const real: Real = {
    store,
    advance,
    restart: async () => {
      if (restart !== undefined) real.store = await restart();
    },
    invariants: () => invariants,
    followers: () => followers,
    history: [],
  };
  const invariants = new QueueInvariants(() => real.store);
  const followers = new Followers(
    () => real.store,
    () => advance(0),
  );
  return real;
}

export async function compare(model: ReferenceQueue, { store, invariants, followers }: Real): Promise<void> {
  const found = await store.get(QUEUE, IDS);
  for (const [index, id] of IDS.entries()) {
    const entry = model.find(id);
    same(shown(found[index]), entry && expected(entry), `task ${id}`);
  }
  await compareKept(model, store);
  const stats = await store.stats(QUEUE);
  const counts = STATES.map((state) => [state, model.tasks.filter((entry) => entry.state === state).length]);
  same(stats, Object.fromEntries(counts), "counts");
  const letters = await store.deadLetters(QUEUE, { max: 100 });
  same(idsOf(letters), model.deadLetters, "dead letters");
  const byKey = model.schedules.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const schedules = (await store.schedules(QUEUE)).toSorted((a, b) => (a.key < b.key ? -1 : 1));
  same(schedules, byKey, "schedules");
  await compareMeter(model, store, found);
  await invariants().hold(found, stats, IDS);
  await followers().hold(model);
}

/** What is kept beside the tasks: results, checkpoints, children; and which are listed by state. */
async function compareKept(model: ReferenceQueue, store: QueueStore): Promise<void> {
  await Promise.all(
    IDS.map(async (id) => {
      const entry = model.find(id);
      same((await store.result(QUEUE, id))?.text, entry?.result, `the result of ${id}`);
      same(await store.checkpoints(QUEUE, id), entry?.checkpoints ?? [], `checkpoints of ${id}`);
      same(idsOf(await store.children(QUEUE, id)), model.children(id), `children of ${id}`);
    }),
  );
  await Promise.all(
    STATES.map(async (state) => {
      const there = model.tasks.filter((entry) => entry.state === state).map(({ task }) => task.id);
      const listed = idsOf(await store.list(QUEUE, state, 100));
      same(listed.toSorted(), there.toSorted(), `tasks listed as ${state}`);
    }),
  );
}

async function compareMeter(
  model: ReferenceQueue,
  store: QueueStore,
  found: readonly (TaskStatus | undefined)[],
): Promise<void> {
  const { headAddedAt, ...meter } = await store.meter(QUEUE);
  same(meter, { ...model.meter, paused: model.isPaused }, "the meter");
  const heads = model.next(true).map(({ task }) => found[IDS.indexOf(task.id as never)]?.enqueuedAt);
  if (heads.length === 0) same(headAddedAt, undefined, "there is no head");
  else
    ensure(
      headAddedAt !== undefined && heads.includes(headAddedAt),
      "the head is one of those that are next",
    );
}

function shown(status: TaskStatus | undefined): unknown {
  if (status === undefined) return undefined;
  const { attempt, leaseLosses, lastSeq, progress, enqueuedAt } = status;
  return { ...phase(status, enqueuedAt), attempt, leaseLosses, lastSeq, progress };
}

function phase(status: TaskStatus, since: number): Readonly<Record<string, unknown>> {
  switch (status.state) {
    case "scheduled":
      return { state: status.state, until: status.dueAt - since };
    case "waiting":
      return {
        state: status.state,
        until: status.dueAt === undefined ? Infinity : status.dueAt - since,
        events: status.events,
        children: status.children,
      };
    case "running":
      return { state: status.state, until: status.leaseEndsAt - since };
    case "cancelled":
      return { state: status.state, reason: status.reason };
    case "ready":
    case "completed":
    case "failed":
      return { state: status.state };
  }
}

function expected(entry: ReferenceTask): unknown {
  const { state, attempt, losses, lastSeq, progress, reason, waitsFor } = entry;
  const until = entry.endsAt - entry.addedAt;
  return {
    state,
    ...(state === "scheduled" || state === "waiting" || state === "running" ? { until } : {}),
    ...(state === "waiting" ? { events: waitsFor.events, children: waitsFor.children } : {}),
    ...(state === "cancelled" ? { reason } : {}),
    attempt,
    leaseLosses: losses,
    lastSeq,
    progress,
  };
}

function idsOf(statuses: readonly TaskStatus[]): readonly string[] {
  return statuses.map(({ id }) => id);
}
