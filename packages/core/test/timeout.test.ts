import { afterEach, describe, expect, it, vi } from "vitest";
import type { Context, TimeoutEvent } from "@holdfast/core";
import { channel, InvalidOptionError, timeout, TimeoutError } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

const forever = (): Promise<never> => new Promise(() => {});
/** A task that stops when it is told to, as it was told to. */
const obedient = ({ signal }: Context): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });

function record(): { readonly events: TimeoutEvent[]; readonly stop: () => void } {
  const events: TimeoutEvent[] = [];
  return { events, stop: channel<TimeoutEvent>("core", "timeout").subscribe((event) => events.push(event)) };
}

const unhandled = vi.fn();
process.on("unhandledRejection", unhandled);
afterEach(() => {
  expect(unhandled).not.toHaveBeenCalled();
});

describe("timeout", () => {
  it("answers the task's value, and leaves no timer", async () => {
    const clock = manualClock();
    await expect(timeout("1s", { clock }).run(() => 7)).resolves.toBe(7);
    await expect(timeout("1s", { clock }).run(async () => undefined)).resolves.toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });

  it("rejects exactly when time is up, with name and limit, and tells the task through its signal", async () => {
    const clock = manualClock();
    const reasons: unknown[] = [];
    const run = timeout("250ms", { clock, name: "lookup" }).run(async ({ signal }) => {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      return forever();
    });
    const failed = expect(run).rejects.toMatchObject({
      code: "TIMEOUT",
      operation: "lookup",
      timeoutMs: 250,
    });
    await clock.advance(249);
    expect(reasons).toEqual([]);
    await clock.advance(1);
    await failed;
    expect(reasons[0]).toBeInstanceOf(TimeoutError);
    await expect(run).rejects.toBe(reasons[0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("passes the task's own error on untouched, and wraps what is not an Error", async () => {
    const clock = manualClock();
    const error = new TypeError("own");
    await expect(timeout("1s", { clock }).run(() => Promise.reject(error))).rejects.toBe(error);
    const thrown = timeout("1s", { clock }).run(() => {
      throw undefined;
    });
    await expect(thrown).rejects.toMatchObject({ code: "NON_ERROR_THROWN", thrown: undefined });
    expect(clock.pendingTimers).toBe(0);
  });

  it("cooperative: waits until the task has really ended, and is late even if the task succeeds then", async () => {
    const clock = manualClock();
    const guard = timeout("1s", { clock, strategy: "cooperative" });
    let settled = false;
    const run = guard.run(async () => {
      await clock.sleep("3s");
      return "done anyway";
    });
    run.catch(() => {}).finally(() => (settled = true));
    await clock.advance("2s");
    expect(settled).toBe(false);
    await clock.advance("1s");
    await expect(run).rejects.toMatchObject({ code: "TIMEOUT", timeoutMs: 1_000 });
  });

  it.each(["racing", "cooperative"] as const)(
    "[bug 10] a caller's abort is never reported as a timeout (%s)",
    async (strategy) => {
      const clock = manualClock();
      const { events, stop } = record();
      const controller = new AbortController();
      const reason = { token: "the caller's own" };
      const guard = timeout("1s", { clock, strategy });
      const run = guard.run(
        // Takes its time to wind down: the limit passes in the meantime.
        async (context) => {
          await obedient(context).catch(() => {});
          await clock.sleep("5s");
          throw new Error("wound down");
        },
        { signal: controller.signal },
      );
      const rejected = expect(run).rejects.toBe(reason);
      await clock.advance("500ms");
      controller.abort(reason);
      await clock.advance("10s");
      await rejected;
      expect(events).toEqual([]);
      expect(clock.pendingTimers).toBe(0);
      stop();
    },
  );

  it("racing: a caller's abort rejects at once, even when the task ignores it", async () => {
    const clock = manualClock();
    const controller = new AbortController();
    const run = timeout("1s", { clock }).run(forever, { signal: controller.signal });
    controller.abort("enough");
    await expect(run).rejects.toBe("enough");
    expect(clock.pendingTimers).toBe(0);
  });

  it("does not start the task of a call that was aborted before", async () => {
    const clock = manualClock();
    const task = vi.fn();
    const run = timeout("1s", { clock }).run(task, { signal: AbortSignal.abort("before") });
    await expect(run).rejects.toBe("before");
    expect(task).not.toHaveBeenCalled();
    expect(clock.pendingTimers).toBe(0);
  });

  it("survives a caller that aborts while the task is being started, and after it has settled (survival row 2)", async () => {
    const clock = manualClock();
    const during = new AbortController();
    const run = timeout("1s", { clock }).run(
      () => {
        during.abort("during");
        return 1;
      },
      { signal: during.signal },
    );
    await expect(run).rejects.toBe("during");
    const after = new AbortController();
    let seen: AbortSignal | undefined;
    const task = ({ signal }: Context): number => ((seen = signal), 2);
    await expect(timeout("1s", { clock }).run(task, { signal: after.signal })).resolves.toBe(2);
    after.abort("after");
    expect(seen?.aborted).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });

  it("[bug 14] one call's timeout aborts no other call's signal, and the next call starts with a fresh one", async () => {
    const clock = manualClock();
    const guard = timeout("1s", { clock });
    const signals: AbortSignal[] = [];
    const task = ({ signal }: Context): Promise<never> => {
      signals.push(signal);
      return forever();
    };
    const first = guard.run(task);
    first.catch(() => {});
    await clock.advance("600ms");
    const second = guard.run(task);
    second.catch(() => {});
    await clock.advance("400ms");
    await expect(first).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
    await expect(guard.run(({ aborted }) => aborted)).resolves.toBe(false);
    await clock.advance("1s");
    await expect(second).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  it("[bug 13] cooperative: a caller that counts work by the call counts it as long as it really runs", async () => {
    const clock = manualClock();
    const guard = timeout("1s", { clock, strategy: "cooperative" });
    let running = 0;
    let most = 0;
    const stubborn = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await clock.sleep("3s");
      running -= 1;
    };
    const oneAtATime = (async () => {
      for (let index = 0; index < 5; index += 1) await guard.run(stubborn).catch(() => {});
    })();
    for (let second = 0; second < 20; second += 1) await clock.advance("1s");
    await oneAtATime;
    expect(most).toBe(1);
  });

  it("[bug 12] a wall clock that jumps an hour either way changes no limit (survival row 1)", async () => {
    const clock = manualClock();
    for (const jump of [-3_600_000, 3_600_000]) {
      const run = timeout("1s", { clock }).run(forever);
      let settled = false;
      run.catch(() => (settled = true));
      await clock.advance("900ms");
      clock.jumpWallClock(jump);
      await clock.advance("99ms");
      expect(settled).toBe(false);
      await clock.advance("1ms");
      await expect(run).rejects.toMatchObject({ code: "TIMEOUT" });
    }
  });

  it("[bug 11] a limit above 2^31 ms holds (survival row 5)", async () => {
    const clock = manualClock();
    const run = timeout(2 ** 31 + 1, { clock }).run(() => clock.sleep("10d").then(() => "in time"));
    await clock.advance("10d");
    await expect(run).resolves.toBe("in time");
  });

  it("[bug 5] a throwing event subscriber changes no outcome", async () => {
    const clock = manualClock();
    const stop = channel("core", "timeout").subscribe(() => {
      throw new Error("subscriber");
    });
    const run = timeout("1s", { clock }).run(forever);
    run.catch(() => {});
    await clock.advance("1s");
    await expect(run).rejects.toMatchObject({ code: "TIMEOUT" });
    stop();
  });

  it("publishes each hit limit once, the outer of two equal ones, and says which attempt", async () => {
    const clock = manualClock();
    const { events, stop } = record();
    const outer = timeout("1s", { clock, name: "outer" });
    const inner = timeout("1s", { clock, name: "inner" });
    const run = outer.run((context) => inner.run(forever, context));
    run.catch(() => {});
    await clock.advance("5s");
    await expect(run).rejects.toMatchObject({ operation: "outer" });
    expect(events).toEqual([{ policy: "outer", timeoutMs: 1_000, attempt: 1 }]);
    stop();
  });

  it("an inner limit leaves the outer one running, so that a caller can do something else in the rest", async () => {
    const clock = manualClock();
    const total = timeout("3s", { clock, name: "total" });
    const each = timeout("1s", { clock, name: "each" });
    const run = total.run(async (context) => {
      const first = await each.run(forever, context).catch((error: unknown) => error);
      expect(first).toMatchObject({ operation: "each" });
      expect(context.aborted).toBe(false);
      expect(context.remainingMs).toBe(2_000);
      return "in the rest";
    });
    await clock.advance("1s");
    await expect(run).resolves.toBe("in the rest");
    expect(clock.pendingTimers).toBe(0);
  });

  it("an outer limit aborts the task inside an inner one", async () => {
    const clock = manualClock();
    const stopped = vi.fn();
    const run = timeout("1s", { clock, name: "total" }).run((context) =>
      timeout("5s", { clock }).run((inner) => {
        inner.onAbort(stopped);
        return forever();
      }, context),
    );
    run.catch(() => {});
    await clock.advance("1s");
    await expect(run).rejects.toMatchObject({ operation: "total" });
    expect(stopped).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ operation: "total" }));
    expect(clock.pendingTimers).toBe(0);
  });

  it("a task that fails long after its time is up is no unhandled rejection (survival row 6)", async () => {
    const clock = manualClock();
    const run = timeout("1s", { clock }).run(async () => {
      await clock.sleep("5s");
      throw new Error("late");
    });
    run.catch(() => {});
    await clock.advance("10s");
    await expect(run).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  it("[bug 16] a task that is not async, and one that answers undefined, are as good as any", async () => {
    const clock = manualClock();
    await expect(timeout("1s", { clock }).run(() => undefined)).resolves.toBeUndefined();
    await expect(timeout("1s", { clock }).run(() => "sync")).resolves.toBe("sync");
  });

  it("[bug 26] can be used again from within its own task and right after its own completion", async () => {
    const clock = manualClock();
    const guard = timeout("1s", { clock });
    const down = async (depth: number): Promise<number> =>
      depth === 0 ? 0 : guard.run(async () => 1 + (await down(depth - 1)));
    await expect(down(50)).resolves.toBe(50);
    const chained = guard.run(() => 1).then((one) => guard.run(() => one + 1));
    await expect(chained).resolves.toBe(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it("shows its settings, and describes itself", () => {
    const guard = timeout("2s", { name: "db", strategy: "cooperative" });
    expect(guard.snapshot()).toEqual({
      kind: "timeout",
      name: "db",
      limitMs: 2_000,
      strategy: "cooperative",
    });
    expect(guard.describe()).toMatchObject({ summary: "gives up after 2s (cooperative)", limitMs: 2_000 });
  });

  it.each([
    ["limit", () => timeout(0)],
    ["limit", () => timeout("0s")],
    ["limit", () => timeout(-5)],
    ["limit", () => timeout(NaN)],
    ["limit", () => timeout("soon" as "1s")],
    ["limit", () => timeout("100001d")],
    ["name", () => timeout("1s", { name: "" })],
    ["name", () => timeout("1s", { name: "x".repeat(256) })],
    ["strategy", () => timeout("1s", { strategy: "pessimistic" as "racing" })],
  ])("refuses a bad %s at construction", (option, make) => {
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ owner: "timeout", option }));
  });
});
