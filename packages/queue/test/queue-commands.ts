// What can be done to a queue, as commands that are run on a store and on the reference side by side.
import assert from "node:assert/strict";
import type { ClaimRequest, ClaimedTask, LeaseRef, NewTask, QueueStore, Settlement } from "@holdfast/queue";
import fc from "fast-check";
import type { ReferenceQueue } from "./reference-queue.ts";

export interface Real {
  readonly store: QueueStore;
  /** Lets so many milliseconds pass on the store's clock. */
  readonly advance: (ms: number) => Promise<void>;
}

type Command = fc.AsyncCommand<ReferenceQueue, Real>;

const QUEUE = "model";
const LIMIT = 5;
const IDS = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] as const;
const STATES = ["scheduled", "waiting", "ready", "running", "completed", "failed", "cancelled"] as const;

const anId = fc.constantFrom(...IDS);
const aTask: fc.Arbitrary<NewTask> = fc
  .record({
    id: anId,
    delayMs: fc.constantFrom(0, 0, 40, 200),
    priority: fc.integer({ min: -1, max: 1 }),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    maxLeaseLosses: fc.integer({ min: 0, max: 2 }),
    dedupKey: fc.constantFrom(undefined, undefined, "k", "l"),
    group: fc.constantFrom(undefined, undefined, "g", "h"),
    keepMs: fc.constantFrom(100, 2_000),
    keepFailedMs: fc.constantFrom(150, 3_000),
  })
  .map(({ dedupKey, group, ...task }) => ({
    ...task,
    name: "work",
    input: { text: `"${task.id}"`, blobs: [] },
    ...(dedupKey === undefined ? {} : { dedupKey }),
    ...(group === undefined ? {} : { group }),
  }));
const aClaim: fc.Arbitrary<ClaimRequest> = fc.record({
  worker: fc.constantFrom("w1", "w2"),
  max: fc.integer({ min: 1, max: 3 }),
  leaseMs: fc.constantFrom(30, 100, 300),
});
/** Which lease of all there ever were, counted from the latest: recent ones more often. */
const whichLease = fc.oneof(fc.nat(2), fc.nat(40));
const aSettlement: fc.Arbitrary<(lease: LeaseRef) => Settlement> = fc.constantFrom(
  ({ id, fence }: LeaseRef): Settlement => ({
    id,
    fence,
    kind: "complete",
    result: { text: `${fence}`, blobs: [] },
  }),
  ({ id, fence }: LeaseRef): Settlement => ({ id, fence, kind: "release" }),
  ...[undefined, 0, 60].map((delayMs) => ({ id, fence }: LeaseRef): Settlement => {
    const failed = { id, fence, kind: "fail", error: { code: "BROKEN", message: "" } } as const;
    return delayMs === undefined ? failed : { ...failed, retry: { delayMs, backoffState: fence } };
  }),
);

/** A command of any kind; its name is what a failing run prints. */
function command(
  name: string,
  run: (model: ReferenceQueue, real: Real) => Promise<void>,
  check: (model: ReferenceQueue) => boolean = () => true,
): Command {
  return {
    check,
    run: async (model, real) => {
      await run(model, real);
      await compare(model, real);
    },
    toString: () => name,
  };
}

export const commands: readonly fc.Arbitrary<Command>[] = [
  fc.array(aTask, { minLength: 1, maxLength: 3 }).map((tasks) =>
    command(`enqueue(${tasks.map(({ id }) => id).join()})`, async (model, { store }) => {
      assert.deepEqual(await store.enqueue(QUEUE, tasks, { limit: LIMIT }), model.enqueue(tasks, LIMIT));
    }),
  ),
  aClaim.map((request) =>
    command(`claim(${request.max}, ${request.leaseMs} ms)`, async (model, { store }) => {
      claimed(model, request, await store.claim(QUEUE, request));
    }),
  ),
  fc
    .tuple(
      fc.array(fc.tuple(whichLease, aSettlement), { minLength: 1, maxLength: 3 }),
      fc.option(aClaim, { nil: undefined }),
    )
    .map(([settled, request]) =>
      command(
        `settle(${settled.map(([which]) => which).join()}${request === undefined ? "" : ", claim"})`,
        async (model, { store }) => {
          const settlements = settled.map(([which, settle]) => settle(leaseOf(model, which)));
          const answer = await store.settle(QUEUE, settlements, request);
          assert.deepEqual(
            answer.outcomes,
            settlements.map((settlement) => model.settle(settlement)),
          );
          if (request === undefined) assert.deepEqual(answer.claimed, []);
          else claimed(model, request, answer.claimed);
        },
        hasLeases,
      ),
    ),
  fc.tuple(whichLease, fc.constantFrom(30, 100, 300)).map(([which, leaseMs]) =>
    command(
      `renew(${which}, ${leaseMs} ms)`,
      async (model, { store }) => {
        const lease = leaseOf(model, which);
        assert.deepEqual(await store.renew(QUEUE, [lease], leaseMs), [model.renew(lease, leaseMs)]);
      },
      hasLeases,
    ),
  ),
  fc.tuple(whichLease, fc.nat(100)).map(([which, value]) =>
    command(
      `report(${which})`,
      async (model, { store }) => {
        const lease = leaseOf(model, which);
        const request = { ...lease, reports: [{ kind: "progress", value } as const] };
        assert.deepEqual(await store.report(QUEUE, [request]), [model.report(lease, value)]);
      },
      hasLeases,
    ),
  ),
  anId.map((id) =>
    command(`cancel(${id})`, async (model, { store }) => {
      assert.deepEqual(await store.cancel(QUEUE, [id], "no"), [model.cancel(id, "no")]);
    }),
  ),
  anId.map((id) =>
    command(`redrive(${id})`, async (model, { store }) => {
      assert.deepEqual(await store.redrive(QUEUE, [id]), [model.redrive(id)]);
    }),
  ),
  anId.map((id) =>
    command(`discard(${id})`, async (model, { store }) => {
      assert.deepEqual(await store.discard(QUEUE, [id]), [model.discard(id)]);
    }),
  ),
  fc.integer({ min: 1, max: 400 }).map((ms) =>
    command(`advance(${ms} ms)`, async (model, { advance }) => {
      await advance(ms);
      model.advance(ms);
    }),
  ),
  fc.constantFrom(-1, 0).map((offset) =>
    command(
      `advance to the next event${offset === 0 ? "" : " but one millisecond"}`,
      async (model, { advance }) => {
        const ms = Math.max(0, model.nextDue - model.now + offset);
        await advance(ms);
        model.advance(ms);
      },
      (model) => model.nextDue < Infinity,
    ),
  ),
];

function hasLeases({ leases }: ReferenceQueue): boolean {
  return leases.length > 0;
}

function leaseOf({ leases }: ReferenceQueue, which: number): LeaseRef {
  return leases[leases.length - 1 - (which % leases.length)]!;
}

/** What was claimed is what was to be, under fences higher than any before. */
function claimed(model: ReferenceQueue, request: ClaimRequest, tasks: readonly ClaimedTask[]): void {
  const expected = model.claimable().slice(0, request.max);
  assert.deepEqual(
    tasks.map(({ id, attempt, backoffState }) => ({ id, attempt, backoffState })),
    expected.map(({ task, failures, backoffState }) => ({
      id: task.id,
      attempt: failures + 1,
      backoffState,
    })),
  );
  for (const [index, { id, fence }] of tasks.entries()) {
    assert.ok(fence > (model.highestFence.get(id) ?? 0), `the fence of ${id} must rise, and is ${fence}`);
    model.lease(expected[index]!, request, fence);
  }
}

/** Everything that can be asked is as it is in the reference: each task in one state, nothing lost, counts equal. */
async function compare(model: ReferenceQueue, { store }: Real): Promise<void> {
  const found = await store.get(QUEUE, IDS);
  for (const [index, id] of IDS.entries()) {
    const status = found[index];
    const entry = model.find(id);
    const actual = status && {
      state: status.state,
      attempt: status.attempt,
      losses: status.leaseLosses,
      lastSeq: status.lastSeq,
      progress: status.progress,
    };
    const { state, attempt, losses, lastSeq, progress } = entry ?? {};
    assert.deepEqual(actual, entry && { state, attempt, losses, lastSeq, progress }, `task ${id}`);
    assert.equal((await store.result(QUEUE, id))?.text, entry?.result, `the result of ${id}`);
  }
  const counts = STATES.map((state) => [state, model.tasks.filter((entry) => entry.state === state).length]);
  assert.deepEqual(await store.stats(QUEUE), Object.fromEntries(counts), "counts");
  const letters = await store.deadLetters(QUEUE, { max: 100 });
  assert.deepEqual(
    letters.map(({ id }) => id),
    model.deadLetters,
    "dead letters",
  );
  const keys = model.live.map(({ task }) => task.dedupKey).filter((key) => key !== undefined);
  assert.equal(new Set(keys).size, keys.length, "dedup keys are unique among live tasks");
}
