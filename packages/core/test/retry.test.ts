import { getEventListeners } from "node:events";
import {
  channel,
  constant,
  delays,
  InvalidOptionError,
  NonErrorThrownError,
  retry,
  retryBudget,
  timeout,
} from "@holdfast/core";
import type { Context, RetryEvent, RetryExhaustedEvent, RetryOptions } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { afterEach, describe, expect, it } from "vitest";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

function reasons(): string[] {
  const seen: string[] = [];
  stops.push(
    channel<RetryExhaustedEvent>("core", "retry_exhausted").subscribe(({ reason, attempts }) => {
      seen.push(`${reason} after ${attempts}`);
    }),
  );
  return seen;
}

/** A task that fails as listed, then answers "done"; it records the moment and number of each try. */
function failing(clock: { monotonic(): number }, ...errors: unknown[]) {
  const tries: { readonly at: number; readonly attempt: number }[] = [];
  const task = async ({ attempt }: Context): Promise<string> => {
    tries.push({ at: clock.monotonic(), attempt });
    if (tries.length <= errors.length) throw errors[tries.length - 1];
    return "done";
  };
  return { task, tries };
}

function onClock(options: RetryOptions = {}) {
  const clock = manualClock();
  return { clock, policy: retry({ backoff: constant("1s"), clock, ...options }) };
}

describe("retry", () => {
  it("tries again after each wait, numbers the tries, and answers the first success", async () => {
    const { clock, policy } = onClock({ backoff: delays(["1s", "5s"]) });
    const { task, tries } = failing(clock, new Error("1"), new Error("2"));
    const call = policy.run(task);
    await clock.advance("10s");
    expect(await call).toBe("done");
    expect(tries).toEqual([
      { at: 0, attempt: 1 },
      { at: 1_000, attempt: 2 },
      { at: 6_000, attempt: 3 },
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("rethrows the last error as it was", async () => {
    const seen = reasons();
    const { clock, policy } = onClock({ attempts: 2 });
    const last = new Error("second");
    const { task, tries } = failing(clock, new Error("first"), last);
    const call = policy.run(task).catch((error: unknown) => error);
    await clock.advance("1s");
    expect(await call).toBe(last);
    expect(tries).toHaveLength(2);
    expect(seen).toEqual(["attempts after 2"]);
  });

  it("tries a task that throws at once like one that rejects", async () => {
    const { clock, policy } = onClock();
    let tries = 0;
    const call = policy.run(() => {
      tries += 1;
      if (tries < 3) throw new Error("at once");
      return tries;
    });
    await clock.advance("2s");
    expect(await call).toBe(3);
  });

  it("wraps what is not an Error, and keeps it", async () => {
    const { policy } = onClock({ attempts: 1 });
    const thrown = {
      toString: () => {
        throw new Error("no text");
      },
      get message() {
        throw new Error("no message");
      },
    };
    const error: unknown = await policy
      .run(() => Promise.reject(thrown as unknown as Error))
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NonErrorThrownError);
    expect((error as NonErrorThrownError).thrown).toBe(thrown);
  });

  it("does not repeat what retryOn refuses, nor an invalid option by default", async () => {
    const seen = reasons();
    const { clock, policy } = onClock({ retryOn: (error) => (error as Error).message !== "fatal" });
    const fatal = failing(clock, new Error("fatal"));
    await expect(policy.run(fatal.task)).rejects.toThrow("fatal");
    expect(fatal.tries).toHaveLength(1);

    const { policy: plain } = onClock();
    await expect(plain.run(() => void retry({ attempts: 0 }))).rejects.toBeInstanceOf(InvalidOptionError);
    expect(seen).toEqual(["not_retryable after 1", "not_retryable after 1"]);
  });

  it("repeats for a refused value, and answers it when the last try is refused too", async () => {
    const { clock, policy } = onClock({ attempts: 3, retryResult: (value) => value === 503 });
    let tries = 0;
    const recovered = policy.run(() => (++tries < 3 ? 503 : 200));
    await clock.advance("2s");
    expect(await recovered).toBe(200);

    const refused = policy.run(() => 503);
    await clock.advance("2s");
    expect(await refused).toBe(503);
  });

  it("asks retryOn and retryResult with the context of the try in question", async () => {
    const asked: number[] = [];
    const { clock, policy } = onClock({
      retryOn: (_, { attempt }) => asked.push(attempt) > 0,
      retryResult: (_, { attempt }) => (asked.push(attempt * 10), attempt < 3),
    });
    const { task } = failing(clock, new Error("1"));
    const call = policy.run(task);
    await clock.advance("5s");
    await call;
    expect(asked).toEqual([1, 20, 30]);
  });

  it("starts no try later than maxElapsed after the call began", async () => {
    const seen = reasons();
    const { clock, policy } = onClock({ attempts: 10, maxElapsed: "2500ms" });
    const { task, tries } = failing(clock, ...Array.from({ length: 9 }, (_, n) => new Error(String(n))));
    const call = policy.run(task).catch((error: unknown) => error);
    await clock.advance("2s");
    expect(await call).toMatchObject({ message: "2" });
    expect(tries.map(({ at }) => at)).toEqual([0, 1_000, 2_000]);
    expect(seen).toEqual(["max_elapsed after 3"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("fails at once, with the error at hand, when the deadline around the call comes before the next try", async () => {
    const seen = reasons();
    const { clock, policy } = onClock({ backoff: constant("10s") });
    const { task, tries } = failing(clock, new Error("at hand"));
    await expect(timeout("5s", { clock }).run((context) => policy.run(task, context))).rejects.toThrow(
      "at hand",
    );
    expect(tries).toHaveLength(1);
    expect(seen).toEqual(["deadline after 1"]);
  });

  it("does not repeat work that is not idempotent, unless a key says the callee recognises it", async () => {
    const seen = reasons();
    const { clock, policy } = onClock();
    const unkeyed = failing(clock, new Error("declined"));
    await expect(policy.run(unkeyed.task, { idempotent: false })).rejects.toThrow("declined");
    expect(unkeyed.tries).toHaveLength(1);
    expect(seen).toEqual(["not_repeatable after 1"]);

    const keyed = failing(clock, new Error("lost reply"));
    const call = policy.run(keyed.task, { idempotent: false, idempotencyKey: "order-7" });
    await clock.advance("1s");
    expect(await call).toBe("done");
  });

  it("tells onRetry and the channel about each wait, with the value or error behind it", async () => {
    const published: RetryEvent[] = [];
    stops.push(channel<RetryEvent>("core", "retry").subscribe((event) => published.push(event)));
    const told: RetryEvent[] = [];
    const error = new Error("1");
    const { clock, policy } = onClock({
      name: "api",
      retryResult: (value) => value === "refused",
      onRetry: (event) => told.push(event),
    });
    let tries = 0;
    const call = policy.run(() => {
      tries += 1;
      if (tries === 1) throw error;
      return tries === 2 ? "refused" : "done";
    });
    await clock.advance("2s");
    await call;
    expect(told).toEqual([
      { policy: "api", attempt: 1, delayMs: 1_000, error },
      { policy: "api", attempt: 2, delayMs: 1_000, result: "refused" },
    ]);
    expect(published).toEqual(told);
  });

  it("describes itself and shows its budget", () => {
    const policy = retry({
      name: "api",
      attempts: 5,
      maxElapsed: "30s",
      budget: retryBudget({ name: "shared" }),
    });
    expect(policy.describe()).toEqual({
      kind: "retry",
      name: "api",
      summary: "tries up to 5 times, exponential backoff from 100ms to 30s, full jitter, none later than 30s",
      maxRuns: 5,
    });
    expect(JSON.parse(JSON.stringify(policy.snapshot()))).toMatchObject({
      attempts: 5,
      budget: { name: "shared", extras: 0 },
    });
  });

  it("refuses options out of range, naming option and value", () => {
    expect(() => retry({ attempts: 0 })).toThrow(
      'retry: option "attempts" must be an integer of at least 1; got 0',
    );
    expect(() => retry({ attempts: 1.5 })).toThrow(InvalidOptionError);
    expect(() => retry({ maxElapsed: -1 })).toThrow(/maxElapsed/);
    expect(() => retry({ maxRetryAfter: "soon" as "1s" })).toThrow(/maxRetryAfter/);
    expect(() => retry({ retryOn: true as unknown as () => boolean })).toThrow(/retryOn/);
    expect(() => retry({ keepAlive: 1 as unknown as boolean })).toThrow(/keepAlive/);
    expect(() => retry({ backoff: 5 as unknown as ReturnType<typeof constant> })).toThrow(/backoff/);
    expect(() => retry(null as unknown as RetryOptions)).toThrow(InvalidOptionError);
  });
});

describe("retry and a caller's abort", () => {
  it("[bug 4] ends the wait at once, and never calls the task again with an aborted signal", async () => {
    const { clock, policy } = onClock({ backoff: constant("1h") });
    const controller = new AbortController();
    const { task, tries } = failing(clock, new Error("1"));
    const call = policy.run(task, { signal: controller.signal }).catch((error: unknown) => error);
    await clock.advance("10s");
    expect(clock.pendingTimers).toBe(1);
    const reason = { why: "user left" };
    controller.abort(reason);
    expect(await call).toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    await clock.advance("2h");
    expect(tries).toHaveLength(1);
  });

  it("[bug 4] does not call the task when the abort comes in the very tick in which the wait ends", async () => {
    const { clock, policy } = onClock({ backoff: constant(1_000) });
    const controller = new AbortController();
    const { task, tries } = failing(clock, new Error("1"));
    const call = policy.run(task, { signal: controller.signal }).catch((error: unknown) => error);
    await clock.advance(999);
    clock.advanceSync(1);
    controller.abort("too late to wait, early enough not to try");
    expect(await call).toBe("too late to wait, early enough not to try");
    expect(tries).toHaveLength(1);
  });

  it("rejects before the first try when the signal is aborted already", async () => {
    const { clock, policy } = onClock();
    const { task, tries } = failing(clock);
    const reason = new Error("before");
    await expect(policy.run(task, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(tries).toEqual([]);
  });

  it("reports the caller's own reason, whatever the aborted task throws", async () => {
    const seen = reasons();
    const { policy } = onClock({ attempts: 1 });
    const controller = new AbortController();
    const reason = { any: "value" };
    const call = policy.run(
      ({ signal }) =>
        new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(new Error("of the library's own"))),
        ),
      { signal: controller.signal },
    );
    controller.abort(reason);
    expect(await call.catch((error: unknown) => error)).toBe(reason);
    expect(seen).toEqual([]);
  });

  it("keeps a value that was ready although the caller aborted, and ignores an abort after settling", async () => {
    const { policy } = onClock();
    const controller = new AbortController();
    const call = policy.run(
      async () => {
        controller.abort();
        return "paid";
      },
      { signal: controller.signal },
    );
    expect(await call).toBe("paid");
  });

  it("retries an AbortError that is not the caller's", async () => {
    const { clock, policy } = onClock();
    const { task, tries } = failing(clock, new DOMException("the callee hung up", "AbortError"));
    const call = policy.run(task, { signal: new AbortController().signal });
    await clock.advance("1s");
    expect(await call).toBe("done");
    expect(tries).toHaveLength(2);
  });

  it("[bug 19] leaves no listener on a long-lived signal, however the calls end", async () => {
    const { clock, policy } = onClock();
    const { signal } = new AbortController();
    for (let round = 0; round < 50; round += 1) {
      const errors = Array.from({ length: round % 4 }, () => new Error("again"));
      const call = policy.run(failing(clock, ...errors).task, { signal }).catch(() => "failed");
      await clock.advance("5s");
      await call;
    }
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("[bug 19] leaves no listener behind for tries that timed out and never end", async () => {
    const { clock, policy } = onClock();
    const { signal } = new AbortController();
    const perTry = timeout("1s", { clock });
    const hang = (): Promise<never> => new Promise(() => {});
    const call = policy
      .run((context) => perTry.run(hang, context), { signal })
      .catch((error: unknown) => error);
    await clock.advance("10s");
    expect(await call).toMatchObject({ code: "TIMEOUT" });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

describe("retry, regressions of other libraries", () => {
  it("[bug 5] a throwing observer neither repeats a success nor changes a failure", async () => {
    stops.push(
      channel("core", "retry").subscribe(() => {
        throw new Error("subscriber");
      }),
    );
    stops.push(
      channel("core", "retry_exhausted").subscribe(() => {
        throw new Error("subscriber");
      }),
    );
    const { clock, policy } = onClock({
      onRetry: () => {
        throw new Error("observer");
      },
    });
    let charges = 0;
    const call = policy.run(() => {
      charges += 1;
      if (charges === 1) throw new Error("first");
      return "charged";
    });
    await clock.advance("1s");
    expect(await call).toBe("charged");
    expect(charges).toBe(2);

    const failure = policy.run(() => Promise.reject(new Error("genuine"))).catch((error: unknown) => error);
    await clock.advance("2s");
    expect(await failure).toMatchObject({ message: "genuine" });
  });

  it("[bug 5] an observer that returns a rejecting promise causes no unhandled rejection", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    stops.push(() => process.off("unhandledRejection", listen));
    const { clock, policy } = onClock({
      onRetry: async () => {
        throw new Error("observer");
      },
    });
    const call = policy.run(failing(clock, new Error("1")).task);
    await clock.advance("1s");
    await call;
    await clock.advance(0);
    expect(unhandled).toEqual([]);
  });

  it("[bug 7] a total outage is not amplified beyond the budget", async () => {
    const clock = manualClock();
    const budget = retryBudget({ ratio: 0.1, minPerSecond: 1, minInFlight: 1_000, clock });
    const policy = retry({ attempts: 10, backoff: constant(10), budget, clock });
    let runs = 0;
    const calls = Array.from({ length: 1_000 }, () =>
      policy
        .run(() => {
          runs += 1;
          throw new Error("down");
        })
        .catch(() => "down"),
    );
    await clock.advance("1s");
    await Promise.all(calls);
    // 1,000 calls, a tenth of them again, and the reserve of 1 per second for 10 s; without a budget 10,000.
    expect(runs).toBe(1_000 + 100 + 10);
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0 });
  });

  it("nested retries that share a budget stay within it, counting each call once", async () => {
    const seen = reasons();
    const clock = manualClock();
    const budget = retryBudget({ ratio: 0.2, minPerSecond: 0, minInFlight: 1_000, clock });
    const outer = retry({ attempts: 4, backoff: constant(10), budget, clock });
    const inner = retry({ attempts: 4, backoff: constant(10), budget, clock });
    let runs = 0;
    const calls = Array.from({ length: 100 }, () =>
      outer
        .run((context) =>
          inner.run(() => {
            runs += 1;
            throw new Error("down");
          }, context),
        )
        .catch(() => "down"),
    );
    await clock.advance("5s");
    await Promise.all(calls);
    // 16 runs a call without it.
    expect(runs).toBe(120);
    expect(seen).toContain("budget after 1");
    expect(budget.snapshot()).toMatchObject({ calls: 100, extras: 20, callsInFlight: 0, extrasInFlight: 0 });
  });

  it("[bug 11] a wait beyond 2³¹ ms does not end at once", async () => {
    const { clock, policy } = onClock({ backoff: constant("60d"), maxRetryAfter: "100d" });
    const { task, tries } = failing(clock, new Error("1"));
    const call = policy.run(task);
    await clock.advance("59d");
    expect(tries).toHaveLength(1);
    await clock.advance("1d");
    expect(await call).toBe("done");
  });

  it("[bug 12] a jump of the wall clock neither prolongs nor shortens a wait or maxElapsed", async () => {
    for (const jump of [-3_600_000, 3_600_000]) {
      const { clock, policy } = onClock({ attempts: 10, maxElapsed: "2s" });
      const { task, tries } = failing(clock, ...Array.from({ length: 9 }, () => new Error("again")));
      const call = policy.run(task).catch((error: unknown) => error);
      await clock.advance(500);
      clock.jumpWallClock(jump);
      await clock.advance("10s");
      expect(await call).toMatchObject({ message: "again" });
      expect(tries.map(({ at }) => at)).toEqual([0, 1_000, 2_000]);
    }
  });

  it("[bug 22] three thousand failures in a row are still followed by finite, capped waits", async () => {
    const clock = manualClock();
    const waits: number[] = [];
    const policy = retry({ attempts: 3_000, clock, onRetry: ({ delayMs }) => waits.push(delayMs) });
    const call = policy.run(() => Promise.reject(new Error("down"))).catch(() => "gave up");
    for (let step = 0; step < 3_000 && (await clock.advanceToNextTimer()); step += 1);
    expect(await call).toBe("gave up");
    expect(waits).toHaveLength(2_999);
    expect(waits.every((wait) => wait >= 0 && wait <= 30_000)).toBe(true);
  });

  it("[bug 23] a spent budget refuses more runs and leaves those in flight alone", async () => {
    const clock = manualClock();
    const budget = retryBudget({ ratio: 0, minPerSecond: 0.1, minInFlight: 5, clock });
    const policy = retry({ backoff: constant(10), budget, clock });
    let answer: (value: string) => void = () => {};
    const first = policy.run(({ attempt, aborted }) => {
      if (attempt === 1) throw new Error("1");
      return new Promise<string>((resolve) => {
        answer = () => resolve(`still running: ${!aborted}`);
      });
    });
    await clock.advance(10);
    await expect(policy.run(() => Promise.reject(new Error("refused a retry")))).rejects.toThrow(
      "refused a retry",
    );
    answer("");
    expect(await first).toBe("still running: true");
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0 });
  });

  it("[bug 23] one try's expired timeout does not leak into the next try", async () => {
    const { clock, policy } = onClock();
    const perTry = timeout("2s", { clock });
    const signals: AbortSignal[] = [];
    const call = policy.run((context) =>
      perTry.run(({ signal, attempt }) => {
        signals.push(signal);
        return attempt === 1 ? new Promise<string>(() => {}) : "done";
      }, context),
    );
    await clock.advance("3s");
    expect(await call).toBe("done");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("[bug 23] a signal is not aborted once its try has succeeded, so a body can still be read", async () => {
    const { policy } = onClock();
    const signal = await policy.run((context) => context.signal, { signal: new AbortController().signal });
    expect(signal.aborted).toBe(false);
  });

  it("[bug 23] every try makes its request anew, so a body that was read is sent again whole", async () => {
    const { clock, policy } = onClock();
    const received: string[] = [];
    const call = policy.run(async ({ attempt }) => {
      const request = new Request("http://callee.test/", { method: "POST", body: "the whole body" });
      received.push(await request.text());
      if (attempt === 1) throw new Error("connection reset");
    });
    await clock.advance("1s");
    await call;
    expect(received).toEqual(["the whole body", "the whole body"]);
  });

  it("[bug 26] a call made from inside an observer or a task of the same policy does not deadlock", async () => {
    const clock = manualClock();
    const inner: Promise<string>[] = [];
    const policy = retry({
      backoff: constant(10),
      clock,
      budget: retryBudget({ clock }),
      onRetry: () => inner.push(policy.run(() => "from the observer")),
    });
    const call = policy.run(async (context) => {
      if (context.attempt === 1) throw new Error("1");
      return policy.run(() => "from the task", context);
    });
    await clock.advance(10);
    expect([await call, ...(await Promise.all(inner))]).toEqual(["from the task", "from the observer"]);
  });

  it("[bug 28] gives the budget back when a wait is aborted", async () => {
    const clock = manualClock();
    const budget = retryBudget({ clock });
    const controller = new AbortController();
    const policy = retry({ backoff: constant("1m"), budget, clock });
    const call = policy
      .run(() => Promise.reject(new Error("1")), { signal: controller.signal })
      .catch(() => {});
    await clock.advance("1s");
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 1, extrasInFlight: 1 });
    controller.abort();
    await call;
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0 });
  });

  it("causes no unhandled rejection when a task that lost against its timeout fails later", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    stops.push(() => process.off("unhandledRejection", listen));
    const { clock, policy } = onClock({ attempts: 2 });
    const late: ((error: Error) => void)[] = [];
    const perTry = timeout("1s", { clock });
    const call = policy
      .run((context) => perTry.run(() => new Promise((_, reject) => late.push(reject)), context))
      .catch((error: unknown) => error);
    await clock.advance("5s");
    expect(await call).toMatchObject({ code: "TIMEOUT" });
    for (const reject of late) reject(new Error("long after"));
    await clock.advance("1s");
    expect(unhandled).toEqual([]);
  });
});
