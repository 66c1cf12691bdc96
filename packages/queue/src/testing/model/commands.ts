// What can be done to a queue, as commands that are run on a store and on the reference side by side.
import { ensure, same } from "@holdfast/core/testing";
import type { ClaimRequest, ClaimedTask, LeaseRef, Settlement } from "../../store/store.ts";
import fc from "fast-check";
import { aClaim, aSchedule, aSettlement, aTask, anId, CHECKPOINTS, payload, QUEUE } from "./arbitraries.ts";
import type { Real } from "./comparison.ts";
import { compare, LIMIT } from "./comparison.ts";
import type { ReferenceQueue } from "./reference-queue.ts";

type Command = fc.AsyncCommand<ReferenceQueue, Real>;

/** Which lease of all there ever were, counted from the latest: recent ones more often. */
const whichLease = fc.oneof(fc.nat(2), fc.nat(40));
const aName = fc.constantFrom(...CHECKPOINTS);

/** A command of any kind; its name is what a failing run prints. */
function command(
  name: string,
  run: (model: ReferenceQueue, real: Real) => Promise<void>,
  check: (model: ReferenceQueue) => boolean = () => true,
): Command {
  return {
    check,
    run: async (model, real) => {
      real.history.push(name);
      await run(model, real);
      await compare(model, real);
    },
    toString: () => name,
  };
}

const adding: readonly fc.Arbitrary<Command>[] = [
  fc.array(aTask, { minLength: 1, maxLength: 4 }).map((tasks) =>
    command(`enqueue(${tasks.map(({ id }) => id).join()})`, async (model, { store, invariants }) => {
      const result = await store.enqueue(QUEUE, tasks, { limit: LIMIT });
      same(result, model.enqueue(tasks, LIMIT), "what became of new tasks");
      if (result.full) return;
      for (const [index, { outcome }] of result.outcomes.entries())
        if (outcome === "enqueued") invariants().added(tasks[index]!);
    }),
  ),
  aSchedule.map((schedule) =>
    command(`setSchedule(${schedule.key})`, async (model, { store }) => {
      same(await store.setSchedule(QUEUE, schedule), model.setSchedule(schedule), "setSchedule()");
    }),
  ),
  fc.constantFrom("a", "b").map((key) =>
    command(`removeSchedule(${key})`, async (model, { store }) => {
      same(await store.removeSchedule(QUEUE, key), model.removeSchedule(key), "removeSchedule()");
    }),
  ),
  fc.tuple(aSchedule, fc.boolean(), aTask).map(([given, isKnown, task]) =>
    command(`fire(${given.key}, ${task.id})`, async (model, { store, invariants }) => {
      const schedule = (isKnown ? model.schedules[0] : undefined) ?? given;
      const before = model.meter.added;
      const outcome = await store.fire(QUEUE, schedule, schedule.nextAt + 100, task, { limit: LIMIT });
      same(outcome, model.fire(schedule, schedule.nextAt + 100, task, LIMIT), "fire()");
      if (model.meter.added > before) invariants().added(task);
    }),
  ),
];

const working: readonly fc.Arbitrary<Command>[] = [
  aClaim.map((request) =>
    command(`claim(${request.max}, ${request.leaseMs} ms)`, async (model, { store, invariants }) => {
      const tasks = await store.claim(QUEUE, request);
      claimed(model, request, tasks);
      await invariants().claimed(tasks);
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
        async (model, real) => {
          const settlements = settled.map(([which, end]) => end(leaseOf(model, which)));
          await settle(model, real, settlements, request);
        },
        hasLeases,
      ),
    ),
  fc.tuple(whichLease, fc.constantFrom(30, 100, 300)).map(([which, leaseMs]) =>
    command(
      `renew(${which}, ${leaseMs} ms)`,
      async (model, { store }) => {
        const lease = leaseOf(model, which);
        same(await store.renew(QUEUE, [lease], leaseMs), [model.renew(lease, leaseMs)], "renew()");
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
        same(await store.report(QUEUE, [request]), [model.report(lease, value)], "report()");
      },
      hasLeases,
    ),
  ),
  fc.tuple(whichLease, fc.array(aName, { maxLength: 2 }), fc.nat(9)).map(([which, names, value]) =>
    command(
      `checkpoint(${which}, ${names.join()})`,
      async (model, { store }) => {
        const lease = leaseOf(model, which);
        const checkpoints = names.map((name) => ({ name, value: payload(value) }));
        const outcome = await store.checkpoint(QUEUE, lease, checkpoints);
        same(outcome, model.checkpoint(lease, checkpoints), "checkpoint()");
      },
      hasLeases,
    ),
  ),
];

const steering: readonly fc.Arbitrary<Command>[] = [
  fc.tuple(anId, aName, fc.nat(9)).map(([id, name, value]) =>
    command(`signal(${id}, ${name})`, async (model, { store }) => {
      const checkpoint = { name, value: payload(value) };
      same(await store.signal(QUEUE, id, checkpoint), model.signal(id, checkpoint), "signal()");
    }),
  ),
  anId.map((id) =>
    command(`cancel(${id})`, async (model, { store }) => {
      same(await store.cancel(QUEUE, [id], "no"), [model.cancel(id, "no")], "cancel()");
    }),
  ),
  anId.map((id) =>
    command(`redrive(${id})`, async (model, { store, invariants }) => {
      const [outcome] = await store.redrive(QUEUE, [id]);
      same(outcome, model.redrive(id), "redrive()");
      if (outcome === "redriven") invariants().redriven(id);
    }),
  ),
  anId.map((id) =>
    command(`discard(${id})`, async (model, { store }) => {
      same(await store.discard(QUEUE, [id]), [model.discard(id)], "discard()");
    }),
  ),
  fc.constantFrom(true, false, false).map((paused) =>
    command(
      `pause(${paused})`,
      async (model, { store }) => {
        await store.pause(QUEUE, paused);
        model.isPaused = paused;
      },
      ({ isPaused }) => isPaused !== paused,
    ),
  ),
];

const following: readonly fc.Arbitrary<Command>[] = [
  anId.map((id) =>
    command(`follow(${id})`, async (model, { followers }) => followers().begin(id, model.find(id))),
  ),
];

const passing: readonly fc.Arbitrary<Command>[] = [
  fc.integer({ min: 1, max: 400 }).map((ms) =>
    command(`advance(${ms} ms)`, async (model, { advance }) => {
      await advance(ms);
      model.advance(ms);
    }),
  ),
  ...[-1, 0].map((offset) =>
    fc.constant(
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
  ),
];

export const commands: readonly fc.Arbitrary<Command>[] = [
  // Without tasks and claims there is little to see.
  adding[0]!,
  adding[0]!,
  working[0]!,
  working[0]!,
  working[1]!,
  ...adding,
  ...working,
  ...steering,
  ...following,
  ...passing,
];

/** The end of the process: leases are lost at once, all else is as it was. */
export const restarts: readonly fc.Arbitrary<Command>[] = [
  fc.constant(
    command("restart", async (model, real) => {
      await real.restart();
      await real.followers().closed();
      model.reopen();
    }),
  ),
];

async function settle(
  model: ReferenceQueue,
  { store, invariants }: Real,
  settlements: readonly Settlement[],
  request: ClaimRequest | undefined,
): Promise<void> {
  const answer = await store.settle(QUEUE, settlements, request);
  same(
    answer.outcomes,
    settlements.map((settlement) => model.settle(settlement)),
    "settle()",
  );
  for (const [index, { id, kind }] of settlements.entries())
    if (answer.outcomes[index]!.written && (kind === "release" || kind === "suspend"))
      invariants().givenBack(id);
  if (request === undefined) same(answer.claimed, [], "what was claimed unasked");
  else claimed(model, request, answer.claimed);
  await invariants().claimed(answer.claimed);
}

function hasLeases({ leases }: ReferenceQueue): boolean {
  return leases.length > 0;
}

function leaseOf({ leases }: ReferenceQueue, which: number): LeaseRef {
  return leases[leases.length - 1 - (which % leases.length)]!;
}

/** What was claimed is what was to be, one after the other, under fences higher than any before. */
function claimed(model: ReferenceQueue, request: ClaimRequest, tasks: readonly ClaimedTask[]): void {
  ensure(tasks.length <= request.max, "no more than were asked for");
  for (const task of tasks) {
    const { id, fence, attempt, backoffState, checkpoints, meta } = task;
    const next = model.next();
    const entry = next.find((each) => each.task.id === id);
    ensure(
      entry !== undefined,
      `${id} was claimed, but next is ${next.map((each) => each.task.id).join(" or ")}`,
    );
    same(
      { attempt, backoffState, checkpoints, meta },
      {
        attempt: entry.failures + 1,
        backoffState: entry.backoffState,
        checkpoints: entry.checkpoints.length,
        meta: entry.task.meta,
      },
      `${id} as claimed`,
    );
    ensure(fence > (model.highestFence.get(id) ?? 0), `the fence of ${id} must rise, and is ${fence}`);
    model.lease(entry, request, task);
  }
  if (tasks.length < request.max)
    same(
      model.next().map(({ task }) => task.id),
      [],
      "what could have been claimed too",
    );
}
