// Places of concurrency limits: renewed while they are held, given back when they are not.
import type { Clock, Timer } from "@holdfast/core";
import type { Allowed } from "./decision.ts";
import type { LedgerCall } from "./store.ts";

interface Ward {
  readonly renew: (call: LedgerCall, marks: readonly number[]) => Promise<boolean>;
  readonly refund: (call: LedgerCall, marks: readonly number[]) => Promise<void>;
  readonly clock: Clock;
}

/** How often in the time of a lease it is renewed. */
const RENEWALS = 3;

/** Holds what `concurrency` limits have given, until the returned function is called. */
export function holdPlaces({ subject, cost, limits }: LedgerCall, taken: Allowed, ward: Ward): () => void {
  const held = limits.flatMap((limit, index) => {
    const mark = taken.marks[index];
    return limit.algorithm === "concurrency" && mark !== undefined ? [{ limit, mark }] : [];
  });
  if (held.length === 0) return () => {};
  const call = { subject, cost, limits: held.map(({ limit }) => limit) };
  const marks = held.map(({ mark }) => mark);
  const everyMs = Math.min(...call.limits.map(({ windowMs }) => windowMs)) / RENEWALS;
  let timer: Timer | undefined;
  const renewLater = (): void => {
    timer = ward.clock.setTimer(everyMs, () => {
      // One that fails is tried again in time: a lease outlives several.
      void ward.renew(call, marks).catch(() => {});
      renewLater();
    });
  };
  renewLater();
  return () => {
    if (timer === undefined) return;
    timer.cancel();
    timer = undefined;
    // Where it cannot be told, the lease runs out by itself.
    void ward.refund(call, marks).catch(() => {});
  };
}
