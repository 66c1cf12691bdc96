import { getEventListeners } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { RunOptions } from "@holdfast/core";
import { contextOf, timeout } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("context", () => {
  it("gives the task the caller's own signal where no policy can abort it", () => {
    const { signal } = new AbortController();
    expect(contextOf({ signal }).signal).toBe(signal);
  });

  it("is handed on untouched when a policy made it", () => {
    const context = contextOf({ idempotencyKey: "k" });
    expect(contextOf(context)).toBe(context);
  });

  it("has a signal that never aborts when nobody can abort the call, the same at every read", () => {
    const context = contextOf();
    expect(context.signal).toBe(context.signal);
    expect([context.signal.aborted, context.aborted, context.abortable]).toEqual([false, false, false]);
    context.throwIfAborted();
    context.onAbort(() => expect.unreachable())();
  });

  it("takes a null signal for none, as fetch does", () => {
    const context = contextOf({ signal: null } as unknown as RunOptions);
    expect(context.abortable).toBe(false);
    context.onAbort(() => {})();
  });

  it("is repeatable unless declared otherwise without a key", () => {
    expect(contextOf().repeatable).toBe(true);
    expect(contextOf({ idempotent: false }).repeatable).toBe(false);
    expect(contextOf({ idempotent: false, idempotencyKey: "k" }).repeatable).toBe(true);
    expect(contextOf({ idempotencyKey: "k" }).idempotencyKey).toBe("k");
  });

  it("calls a listener at once when the call has been aborted already", () => {
    const called = vi.fn();
    const context = contextOf({ signal: AbortSignal.abort("gone") });
    context.onAbort(called);
    expect(called).toHaveBeenCalledExactlyOnceWith("gone");
    expect(() => context.throwIfAborted()).toThrow("gone");
  });

  it("costs no AbortController for a task that never reads its signal, also when the call is aborted", async () => {
    const clock = manualClock();
    const controller = new AbortController();
    // Some versions of Node make one themselves the first time that the clock lets promises settle.
    await clock.advance(0);
    const made = vi.spyOn(globalThis, "AbortController");
    const guard = timeout("1s", { clock });
    await guard.run(() => guard.run(({ attempt, aborted }) => [attempt, aborted]));
    const hanging = guard.run((context) => new Promise(() => context.onAbort(() => {})), {
      signal: controller.signal,
    });
    controller.abort("stop");
    await expect(hanging).rejects.toBe("stop");
    const late = guard.run(() => new Promise(() => {}));
    late.catch(() => {});
    await clock.advance("1s");
    await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(made).not.toHaveBeenCalled();
  });

  it("remaining time is the least of all deadlines around the call, whichever is inside", async () => {
    const clock = manualClock();
    const wide = timeout("10s", { clock });
    const narrow = timeout("2s", { clock });
    const seen: number[] = [];
    const look = async ({ remainingMs }: { readonly remainingMs: number }): Promise<void> => {
      seen.push(remainingMs);
    };
    await wide.run((context) => narrow.run(look, context));
    await narrow.run((context) => wide.run(look, context));
    await narrow.run(async (context) => {
      const slept = clock.sleep("500ms");
      clock.advanceSync("500ms");
      await slept;
      await wide.run(look, context);
    });
    expect(seen).toEqual([2_000, 2_000, 1_500]);
    expect(contextOf().remainingMs).toBe(Infinity);
  });

  it("compares deadlines of different clocks by what is left on each", async () => {
    const [one, other] = [manualClock(), manualClock()];
    await other.advance("1h");
    const left = await timeout("1s", { clock: one }).run((outer) =>
      timeout("5s", { clock: other }).run(({ remainingMs }) => remainingMs, outer),
    );
    expect(left).toBe(1_000);
  });

  it("[bug 19] leaves no listener on a long-lived signal after 10,000 calls of every kind", async () => {
    const clock = manualClock();
    const { signal } = new AbortController();
    const guard = timeout("1s", { clock });
    const patient = timeout("1s", { clock, strategy: "cooperative" });
    for (let index = 0; index < 2_500; index += 1) {
      await guard.run(({ signal: read }) => read.aborted, { signal });
      await patient.run((context) => guard.run(({ signal: read }) => read.aborted, context), { signal });
      await guard.run(() => Promise.reject(new Error("no")), { signal }).catch(() => {});
      await patient.run((context) => void context.onAbort(() => {}), { signal });
    }
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });
});
