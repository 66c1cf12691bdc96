// A limiter as a policy: for pipelines, and for what must give back what it took.
import type {
  Clock,
  Policy,
  PolicyDescription,
  PolicySnapshot,
  RunOptions,
  Task,
  Timer,
} from "@holdfast/core";
import { contextOf } from "@holdfast/core";
import type { LimiterPolicyOptions } from "./contract.ts";
import type { Allowed, Decision } from "./decision.ts";
import { RateLimitedError } from "./errors.ts";
import type { LedgerCall } from "./store.ts";

interface Desk {
  readonly take: (signal: AbortSignal | undefined) => Promise<Decision>;
  readonly acquire: (signal: AbortSignal | undefined) => Promise<Allowed>;
  readonly renew: (call: LedgerCall, taken: Allowed, marks: readonly number[]) => Promise<boolean>;
  readonly refund: (call: LedgerCall, taken: Allowed, marks: readonly number[]) => Promise<void>;
  readonly clock: Clock;
}

/** How often in the time of a lease it is renewed. */
const RENEWALS = 3;

export function limiterPolicy(
  name: string,
  call: LedgerCall,
  options: LimiterPolicyOptions,
  desk: Desk,
): Policy {
  const kind = "rate-limit";
  const waits = options.wait === true;
  const run = async <T>(task: Task<T>, runOptions?: RunOptions): Promise<T> => {
    const context = contextOf(runOptions);
    context.throwIfAborted();
    const signal = context.abortable ? context.signal : undefined;
    const taken = waits ? await desk.acquire(signal) : await desk.take(signal);
    if (!taken.allowed) throw new RateLimitedError(name, taken.limit.name, taken.retryAfterMs);
    const giveBack = hold(call, taken, desk);
    try {
      return await task(context);
    } finally {
      giveBack();
    }
  };
  return {
    kind,
    name,
    run,
    snapshot: (): PolicySnapshot => ({ kind, name, limits: call.limits.map((limit) => limit.name) }),
    describe: (): PolicyDescription => ({
      kind,
      name,
      summary: `${waits ? "waits for" : "rejects beyond"} ${call.limits.map(({ name: limit, quota }) => `${limit} (${quota})`).join(" and ")}`,
    }),
  };
}

/** Keeps the leases of a decision, and gives them back when told. Without `concurrency` limits there are none. */
function hold({ subject, cost, limits }: LedgerCall, taken: Allowed, desk: Desk): () => void {
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
    timer = desk.clock.setTimer(everyMs, () => {
      // One that fails is tried again in time: a lease outlives several.
      void desk.renew(call, taken, marks).catch(() => {});
      renewLater();
    });
  };
  renewLater();
  return () => {
    timer?.cancel();
    // Where it cannot be told, the lease runs out by itself.
    void desk.refund(call, taken, marks).catch(() => {});
  };
}
