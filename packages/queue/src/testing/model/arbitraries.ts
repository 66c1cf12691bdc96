// Tasks, claims, settlements and schedules of any kind, few enough to meet each other often.
import type { ClaimRequest, GroupLimit, LeaseRef, NewTask, Schedule, Settlement } from "../../store/store.ts";
import type { Payload } from "../../task/payload.ts";
import fc from "fast-check";

/** The queue that all of this happens to. */
export const QUEUE = "model";
export const IDS = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] as const;
export const CHECKPOINTS = ["x", "y"] as const;

export const anId: fc.Arbitrary<string> = fc.constantFrom(...IDS);

export function payload(value: unknown): Payload {
  return { text: JSON.stringify(value), blobs: [] };
}

/** An object like those of callers: `deepEqual` minds prototypes. */
function plain<T>(given: T): T {
  return { ...given };
}

const aLimit: fc.Arbitrary<GroupLimit> = fc
  .record({
    concurrency: fc.integer({ min: 1, max: 3 }),
    rate: fc.option(fc.record({ tasks: fc.integer({ min: 1, max: 3 }), perMs: fc.constantFrom(100, 250) }), {
      nil: undefined,
    }),
  })
  .map(({ concurrency, rate }) => (rate === undefined ? { concurrency } : { concurrency, rate }));

/** Something now and then. */
function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined, freq: 2 });
}

export const aTask: fc.Arbitrary<NewTask> = fc
  .record({
    id: anId,
    delayMs: fc.constantFrom(0, 0, 0, 40, 200),
    priority: fc.integer({ min: 0, max: 1 }),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    maxLeaseLosses: fc.integer({ min: 0, max: 2 }),
    dedupKey: fc.constantFrom(undefined, undefined, undefined, "k", "l"),
    group: fc.constantFrom(undefined, undefined, "g", "h"),
    groupLimit: rarely(aLimit),
    tenant: fc.constantFrom(undefined, "s", "t"),
    weight: rarely(fc.constantFrom(1, 2, 7, 60)),
    parent: fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: anId }),
    waitsForChildren: fc.constantFrom(undefined, undefined, undefined, true),
    expireMs: rarely(fc.constantFrom(30, 150)),
    meta: rarely(fc.constantFrom("", "m")),
    keepMs: fc.constantFrom(100, 2_000),
    keepFailedMs: fc.constantFrom(150, 3_000),
  })
  .map((given) => {
    const said = Object.entries(given).filter(([, value]) => value !== undefined);
    return { ...(Object.fromEntries(said) as unknown as NewTask), name: "work", input: payload(given.id) };
  });

export const aClaim: fc.Arbitrary<ClaimRequest> = fc.record({
  worker: fc.constantFrom("w1", "w2"),
  max: fc.integer({ min: 1, max: 3 }),
  leaseMs: fc.constantFrom(30, 100, 300),
});

const aSuspension: fc.Arbitrary<(lease: LeaseRef) => Settlement> = fc
  .record({
    events: fc.option(fc.uniqueArray(fc.constantFrom(...CHECKPOINTS), { minLength: 1 }), { nil: undefined }),
    children: fc.constantFrom(undefined, true, false),
    delayMs: fc.constantFrom(undefined, undefined, 0, 50),
  })
  .map((given) => {
    const until = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    return ({ id, fence }): Settlement => ({ id, fence, kind: "suspend", ...until });
  });

export const aSettlement: fc.Arbitrary<(lease: LeaseRef) => Settlement> = fc.oneof(
  aSuspension,
  fc.constantFrom(
    ({ id, fence }: LeaseRef): Settlement => ({ id, fence, kind: "complete", result: payload(fence) }),
    ({ id, fence }: LeaseRef): Settlement => ({ id, fence, kind: "release" }),
    ...[undefined, 0, 60].map((delayMs) => ({ id, fence }: LeaseRef): Settlement => {
      const failed = { id, fence, kind: "fail", error: { code: "BROKEN", message: "" } } as const;
      return delayMs === undefined ? failed : { ...failed, retry: { delayMs, backoffState: fence } };
    }),
  ),
);

export const aSchedule: fc.Arbitrary<Schedule> = fc
  .record({
    key: fc.constantFrom("a", "b"),
    text: fc.constantFrom("hourly", "daily"),
    nextAt: fc.constantFrom(1_000, 2_000, 3_000),
  })
  .map(plain);
