// A limiter as a policy: for pipelines, and for what must give back what it took.
import type { Policy, PolicyDescription, PolicySnapshot, RunOptions, Task } from "@holdfast/core";
import { contextOf } from "@holdfast/core";
import type { Allowed, Decision } from "./decision.ts";
import { RateLimitedError } from "./errors.ts";
import type { Limit } from "./limits/limit.ts";

interface Desk {
  readonly take: (signal: AbortSignal | undefined) => Promise<Decision>;
  readonly acquire: (signal: AbortSignal | undefined) => Promise<Allowed>;
  /** @returns what gives back. */
  readonly hold: (taken: Allowed) => () => void;
}

export function limiterPolicy(name: string, limits: readonly Limit[], waits: boolean, desk: Desk): Policy {
  const kind = "rate-limit";
  const run = async <T>(task: Task<T>, options?: RunOptions): Promise<T> => {
    const context = contextOf(options);
    context.throwIfAborted();
    const signal = context.abortable ? context.signal : undefined;
    const taken = waits ? await desk.acquire(signal) : await desk.take(signal);
    if (!taken.allowed) throw new RateLimitedError(name, taken.limit.name, taken.retryAfterMs);
    const giveBack = desk.hold(taken);
    try {
      return await task(context);
    } finally {
      giveBack();
    }
  };
  const quotas = limits.map((limit) => `${limit.name} (${limit.quota})`).join(" and ");
  return {
    kind,
    name,
    run,
    snapshot: (): PolicySnapshot => ({ kind, name, limits: limits.map((limit) => limit.name) }),
    describe: (): PolicyDescription => ({
      kind,
      name,
      summary: `${waits ? "waits for" : "rejects beyond"} ${quotas}`,
    }),
  };
}
