// A store of idempotency keys made of the rules alone, each of which a test may break.
import type { IdempotencyStore, KeyRef } from "@holdfast/core";
import { ClosedError } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import type { KeyRecord } from "../../src/idempotency/record.ts";
import * as soundRules from "../../src/idempotency/record.ts";

export type Rules = Omit<typeof soundRules, "isRemembered">;

/** What may be broken about a store: its rules, and what it does around them. */
export interface RuleStoreOptions {
  readonly clock: ManualClock;
  readonly rules?: (sound: Rules) => Partial<Rules>;
  readonly idOf?: (ref: KeyRef) => string;
  /** Awaited between the look at a key and the write to it. */
  readonly pause?: () => Promise<void>;
  readonly nextFence?: (known: KeyRecord | undefined) => number;
}

export function ruleStore({ clock, rules, idOf, pause, nextFence }: RuleStoreOptions): IdempotencyStore {
  const use: Rules = { ...soundRules, ...rules?.(soundRules) };
  const records = new Map<string, KeyRecord>();
  const name = idOf ?? ((ref: KeyRef) => JSON.stringify([ref.scope, ref.key]));
  let fences = 0;
  let isClosed = false;
  const change = async <Outcome>(
    ref: KeyRef,
    verb: (known: KeyRecord | undefined, now: number) => soundRules.Transition<Outcome>,
  ): Promise<Outcome> => {
    if (isClosed) throw new ClosedError("the store");
    const { record, outcome } = verb(records.get(name(ref)), clock.monotonic());
    if (pause !== undefined) await pause();
    if (record !== undefined) records.set(name(ref), record);
    return outcome;
  };
  return {
    traits: { shared: false, clock: "caller", durability: "process", transactional: false },
    begin: (request) =>
      change(request, (known, now) =>
        use.begin(known, request, now, () => (nextFence ? nextFence(known) : (fences += 1))),
      ),
    renew: (lease, lockTtlMs) => change(lease, (known, now) => use.renew(known, lease.fence, lockTtlMs, now)),
    checkpoint: (lease, point, lockTtlMs) =>
      change(lease, (known, now) => use.checkpoint(known, lease.fence, point, lockTtlMs, now)),
    complete: (lease, result, ttlMs) =>
      change(lease, (known, now) => use.complete(known, lease.fence, result, ttlMs, now)),
    fail: (lease, retryable) => change(lease, (known, now) => use.fail(known, lease.fence, retryable, now)),
    release: (ref, owner) =>
      change(ref, (known) => ({ record: use.release(known, owner), outcome: undefined })),
    close: async () => {
      isClosed = true;
    },
  };
}
