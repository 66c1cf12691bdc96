// Everything that can be asked of a store, held against the reference, and the invariants beside it.
import assert from "node:assert/strict";
import type { QueueStore, TaskStatus } from "@holdfast/queue";
import { IDS } from "./queue-arbitraries.ts";
import { QueueInvariants } from "./queue-invariants.ts";
import type { ReferenceQueue, ReferenceTask } from "./reference-queue.ts";

export interface Real {
  store: QueueStore;
  /** Lets so many milliseconds pass on the store's clock. */
  readonly advance: (ms: number) => Promise<void>;
  /** Ends the process, as it were, and opens the store again. */
  readonly restart: () => Promise<void>;
  readonly invariants: () => QueueInvariants;
}

export const QUEUE = "model";
export const LIMIT = 5;
const STATES = ["scheduled", "waiting", "ready", "running", "completed", "failed", "cancelled"] as const;

/** A store and its clock, to run commands on. */
export function realQueue(
  store: QueueStore,
  advance: (ms: number) => Promise<void>,
  restart?: () => Promise<QueueStore>,
): Real {
  const real: Real = {
    store,
    advance,
    restart: async () => {
      if (restart !== undefined) real.store = await restart();
    },
    invariants: () => invariants,
  };
  const invariants = new QueueInvariants(() => real.store);
  return real;
}

export async function compare(model: ReferenceQueue, { store, invariants }: Real): Promise<void> {
  const found = await store.get(QUEUE, IDS);
  for (const [index, id] of IDS.entries()) {
    const entry = model.find(id);
    assert.deepEqual(shown(found[index]), entry && expected(entry), `task ${id}`);
  }
  await compareKept(model, store);
  const stats = await store.stats(QUEUE);
  const counts = STATES.map((state) => [state, model.tasks.filter((entry) => entry.state === state).length]);
  assert.deepEqual(stats, Object.fromEntries(counts), "counts");
  const letters = await store.deadLetters(QUEUE, { max: 100 });
  assert.deepEqual(idsOf(letters), model.deadLetters, "dead letters");
  const byKey = model.schedules.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const schedules = (await store.schedules(QUEUE)).toSorted((a, b) => (a.key < b.key ? -1 : 1));
  assert.deepEqual(schedules, byKey, "schedules");
  await compareMeter(model, store, found);
  await invariants().hold(found, stats, IDS);
}

/** What is kept beside the tasks: results, checkpoints, children; and which are listed by state. */
async function compareKept(model: ReferenceQueue, store: QueueStore): Promise<void> {
  await Promise.all(
    IDS.map(async (id) => {
      const entry = model.find(id);
      assert.equal((await store.result(QUEUE, id))?.text, entry?.result, `the result of ${id}`);
      assert.deepEqual(await store.checkpoints(QUEUE, id), entry?.checkpoints ?? [], `checkpoints of ${id}`);
      assert.deepEqual(idsOf(await store.children(QUEUE, id)), model.children(id), `children of ${id}`);
    }),
  );
  await Promise.all(
    STATES.map(async (state) => {
      const there = model.tasks.filter((entry) => entry.state === state).map(({ task }) => task.id);
      const listed = idsOf(await store.list(QUEUE, state, 100));
      assert.deepEqual(listed.toSorted(), there.toSorted(), `tasks listed as ${state}`);
    }),
  );
}

async function compareMeter(
  model: ReferenceQueue,
  store: QueueStore,
  found: readonly (TaskStatus | undefined)[],
): Promise<void> {
  const { headAddedAt, ...meter } = await store.meter(QUEUE);
  assert.deepEqual(meter, { ...model.meter, paused: model.isPaused }, "the meter");
  const heads = model.next(true).map(({ task }) => found[IDS.indexOf(task.id as never)]?.enqueuedAt);
  if (heads.length === 0) assert.equal(headAddedAt, undefined, "there is no head");
  else assert.ok(heads.includes(headAddedAt), "the head is one of those that are next");
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
