import { getEventListeners } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Context, HedgeDeniedEvent, HedgeOptions, HedgeSettledEvent, RunOptions } from "@holdfast/core";
import { channel, hedge, InvalidOptionError, retry, retryBudget, timeout } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";

const unhandled = vi.fn();
process.on("unhandledRejection", unhandled);
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).not.toHaveBeenCalled();
});

/** What one run of a task does: how long it takes, and what comes of it. */
interface Script {
  readonly ms: number;
  readonly error?: unknown;
  /** Goes on although its signal is aborted. */
  readonly deaf?: boolean;
}

/** A task whose runs follow a script each; the answer is the number of the run. */
function scripted(clock: ManualClock, ...scripts: Script[]) {
  const contexts: Context[] = [];
  const task = async (context: Context): Promise<number> => {
    const run = contexts.push(context) - 1;
    const script = scripts[run] ?? { ms: 0 };
    await clock.sleep(script.ms, script.deaf === true ? undefined : context.signal);
    if ("error" in script) throw script.error;
    return run;
  };
  return { task, contexts };
}

function hedging(clock: ManualClock, options: Partial<HedgeOptions> = {}) {
  return hedge({ delay: "100ms", clock, ...options });
}

async function settle<T>(clock: ManualClock, run: Promise<T>, ms = 10_000): Promise<T> {
  run.catch(() => {});
  await clock.advance(ms);
  return run;
}

describe("hedge", () => {
  it("runs the task once when it answers before the delay, and leaves no timer", async () => {
    const clock = manualClock();
    const { task, contexts } = scripted(clock, { ms: 99 });
    await expect(settle(clock, hedging(clock).run(task))).resolves.toBe(0);
    expect(contexts).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("starts another run after the delay, takes the first success and aborts the loser alone", async () => {
    const clock = manualClock();
    const policy = hedging(clock);
    const { task, contexts } = scripted(clock, { ms: 5_000 }, { ms: 50 });
    const run = policy.run(task);
    await clock.advance(99);
    expect(contexts).toHaveLength(1);
    await clock.advance(51);
    await expect(run).resolves.toBe(1);
    expect(contexts.map((context) => context.signal.aborted)).toEqual([true, false]);
    expect(contexts[0]?.signal.reason).toMatchObject({ code: "HEDGE_LOST", policy: "hedge" });
    expect(clock.pendingTimers).toBe(0);
    expect(policy.snapshot()).toMatchObject({ runs: 1, hedgedRuns: 1, hedges: 1, winsByHedge: [0, 1] });
  });

  it("lets the first run win although others were started", async () => {
    const clock = manualClock();
    const policy = hedging(clock, { maxHedges: 3 });
    const { task, contexts } = scripted(clock, { ms: 250 }, { ms: 5_000 }, { ms: 5_000 });
    await expect(settle(clock, policy.run(task))).resolves.toBe(0);
    expect(contexts.map((context) => context.signal.aborted)).toEqual([false, true, true]);
    expect(contexts.map((context) => context.hedge)).toEqual([0, 1, 2]);
    expect(contexts.map((context) => context.attempt)).toEqual([1, 1, 1]);
  });

  it("[bug 23] never aborts the winner's signal, also not after it has answered: its body can still be read", async () => {
    const clock = manualClock();
    const caller = new AbortController();
    const { task, contexts } = scripted(clock, { ms: 5_000 }, { ms: 50 });
    const run = hedging(clock).run(task, { signal: caller.signal });
    await expect(settle(clock, run)).resolves.toBe(1);
    await clock.advance("1h");
    expect(contexts[1]?.signal.aborted).toBe(false);
    expect(contexts[1]?.aborted).toBe(false);
  });

  it("starts the next run at once when one fails, and then waits the delay again", async () => {
    const clock = manualClock();
    const startedAt: number[] = [];
    const run = hedging(clock, { maxHedges: 2 }).run(async ({ hedge: index, signal }) => {
      startedAt.push(clock.monotonic());
      if (index === 0) {
        await clock.sleep(30);
        throw new Error("first");
      }
      await clock.sleep(index === 1 ? 5_000 : 10, signal);
      return index;
    });
    await expect(settle(clock, run)).resolves.toBe(2);
    expect(startedAt).toEqual([0, 30, 130]);
  });

  it("rejects with the first error, untouched, once all runs have failed; the others are in the event", async () => {
    const clock = manualClock();
    const events: HedgeSettledEvent[] = [];
    const stop = channel<HedgeSettledEvent>("core", "hedge_settled").subscribe((event) => events.push(event));
    const errors = [new Error("a"), new Error("b"), "c"];
    const { task } = scripted(
      clock,
      { ms: 150, error: errors[0] },
      { ms: 20, error: errors[1] },
      { ms: 500, error: errors[2] },
    );
    const run = hedging(clock, { maxHedges: 2 }).run(task);
    // The second run fails first, at 120 ms.
    await expect(settle(clock, run)).rejects.toBe(errors[1]);
    expect(events).toEqual([
      {
        policy: "hedge",
        attempt: 1,
        hedges: 2,
        errors: [
          { run: 1, error: errors[1] },
          { run: 0, error: errors[0] },
          { run: 2, error: "c" },
        ],
      },
    ]);
    expect(clock.pendingTimers).toBe(0);
    stop();
  });

  it("a success after failures is a success", async () => {
    const clock = manualClock();
    const { task } = scripted(clock, { ms: 200 }, { ms: 20, error: new Error("hedge failed") });
    await expect(settle(clock, hedging(clock).run(task))).resolves.toBe(0);
  });

  it("an error that hedgeOn refuses is the answer at once, and aborts the others", async () => {
    const clock = manualClock();
    const notFound = new Error("404");
    const { task, contexts } = scripted(clock, { ms: 5_000 }, { ms: 10, error: notFound });
    const policy = hedging(clock, { maxHedges: 3, hedgeOn: (error) => error !== notFound });
    const run = policy.run(task);
    const rejected = expect(run).rejects.toBe(notFound);
    await clock.advance(110);
    await rejected;
    expect(contexts).toHaveLength(2);
    expect(contexts[0]?.signal.aborted).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it("a hedgeOn that throws is the call's failure", async () => {
    const clock = manualClock();
    const bug = new TypeError("in the predicate");
    const hedgeOn = (): boolean => {
      throw bug;
    };
    const { task } = scripted(clock, { ms: 1, error: new Error("first") });
    await expect(settle(clock, hedging(clock, { hedgeOn }).run(task))).rejects.toBe(bug);
    expect(clock.pendingTimers).toBe(0);
  });

  it("[bug 23] a budget that is spent stops new runs and kills none in flight", async () => {
    const clock = manualClock();
    const events: HedgeDeniedEvent[] = [];
    const stop = channel<HedgeDeniedEvent>("core", "hedge_denied").subscribe((event) => events.push(event));
    const budget = retryBudget({ ratio: 0, minPerSecond: 0.1, minInFlight: 1, clock });
    const policy = hedging(clock, { maxHedges: 3, budget });
    const { task, contexts } = scripted(clock, { ms: 2_000 }, { ms: 3_000 });
    await expect(settle(clock, policy.run(task), 5_000)).resolves.toBe(0);
    expect(contexts).toHaveLength(2);
    expect(contexts[0]?.signal.aborted).toBe(false);
    expect(events).toEqual([{ policy: "hedge", attempt: 1, by: "budget" }]);
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0, extras: 1, refused: 1 });
    stop();
  });

  it("counts a call once in a budget that it shares with a retry around it (survival row 4)", async () => {
    const clock = manualClock();
    const budget = retryBudget({ ratio: 1, minPerSecond: 0, minInFlight: 10, clock });
    const storm = retry({ attempts: 10, budget, clock, random: () => 0 });
    let runs = 0;
    const failing = async (): Promise<never> => {
      runs += 1;
      throw new Error("down");
    };
    const run = storm.run((context) => hedging(clock, { maxHedges: 9, budget }).run(failing, context));
    await expect(settle(clock, run, 5_000)).rejects.toThrow("down");
    // One call deposits one extra run: not 10 × 10.
    expect(runs).toBe(2);
    expect(budget.snapshot()).toMatchObject({ calls: 1, callsInFlight: 0, extrasInFlight: 0 });
  });

  it("a deaf loser stays counted in the budget until it has really ended", async () => {
    const clock = manualClock();
    const budget = retryBudget({ clock });
    const { task } = scripted(clock, { ms: 150 }, { ms: 60_000, deaf: true });
    await expect(settle(clock, hedging(clock, { budget }).run(task), 1_000)).resolves.toBe(0);
    expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 1 });
    await clock.advance("1m");
    expect(budget.snapshot().extrasInFlight).toBe(0);
  });

  it("never hedges work declared not idempotent, unless it is keyed", async () => {
    const clock = manualClock();
    const counts: number[] = [];
    const calls: RunOptions[] = [{ idempotent: false }, { idempotent: false, idempotencyKey: "k" }, {}];
    for (const options of calls) {
      const { task, contexts } = scripted(clock, { ms: 150 });
      await settle(clock, hedging(clock).run(task, options));
      counts.push(contexts.length);
    }
    expect(counts).toEqual([1, 2, 2]);
    const failing = scripted(clock, { ms: 10, error: new Error("charged?") });
    await expect(settle(clock, hedging(clock).run(failing.task, { idempotent: false }))).rejects.toThrow(
      "charged?",
    );
    expect(failing.contexts).toHaveLength(1);
  });

  it("a caller's abort ends all runs at once, deaf ones too, with the caller's own reason", async () => {
    const clock = manualClock();
    const caller = new AbortController();
    const policy = hedging(clock, { maxHedges: 2 });
    const { task, contexts } = scripted(clock, { ms: 5_000, deaf: true }, { ms: 5_000 }, { ms: 5_000 });
    const run = policy.run(task, { signal: caller.signal });
    run.catch(() => {});
    await clock.advance(150);
    const reason = { by: "caller" };
    caller.abort(reason);
    await expect(run).rejects.toBe(reason);
    expect(contexts.map((context) => context.signal.reason as unknown)).toEqual([reason, reason]);
    await clock.advance("1m");
    expect(contexts).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(0);
  });

  it("does not start a call that was aborted before, and stops one whose task or observer aborts it", async () => {
    const clock = manualClock();
    const task = vi.fn(() => new Promise<never>(() => {}));
    await expect(hedging(clock).run(task, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
    expect(task).not.toHaveBeenCalled();

    const byTask = new AbortController();
    const suicidal = (): Promise<never> => {
      byTask.abort("by task");
      return new Promise(() => {});
    };
    await expect(hedging(clock).run(suicidal, { signal: byTask.signal })).rejects.toBe("by task");
    expect(clock.pendingTimers).toBe(0);

    const byObserver = new AbortController();
    const policy = hedging(clock, { maxHedges: 5, onHedge: () => byObserver.abort("by observer") });
    const run = policy.run(task, { signal: byObserver.signal });
    run.catch(() => {});
    await clock.advance("10s");
    await expect(run).rejects.toBe("by observer");
    expect(task).toHaveBeenCalledTimes(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it("late rejections and answers of losers change nothing, and are never unhandled (survival row 6)", async () => {
    const clock = manualClock();
    const policy = hedging(clock, { maxHedges: 2 });
    const { task } = scripted(
      clock,
      { ms: 900, deaf: true, error: new Error("late") },
      { ms: 50 },
      { ms: 900, deaf: true },
    );
    await expect(settle(clock, policy.run(task))).resolves.toBe(1);
    expect(policy.snapshot()).toMatchObject({ winsByHedge: [0, 1, 0] });
  });

  it("[bug 5] a throwing observer changes no outcome", async () => {
    const clock = manualClock();
    const onHedge = (): never => {
      throw new Error("observer");
    };
    const { task } = scripted(clock, { ms: 500 }, { ms: 10 });
    await expect(settle(clock, hedging(clock, { onHedge }).run(task))).resolves.toBe(1);
  });

  it("a loser's throwing abort listener changes no outcome", async () => {
    const clock = manualClock();
    const thrown: (() => void)[] = [];
    const spy = vi
      .spyOn(globalThis, "queueMicrotask")
      .mockImplementation((callback) => void thrown.push(callback));
    const run = hedging(clock).run((context) => {
      if (context.hedge === 1) return Promise.resolve(1);
      context.onAbort(() => {
        throw new Error("listener");
      });
      return new Promise<number>(() => {});
    });
    await expect(settle(clock, run)).resolves.toBe(1);
    spy.mockRestore();
    expect(thrown).toHaveLength(1);
  });

  it("keeps extra load under maxExtraLoad, however slow everything is", async () => {
    const clock = manualClock();
    const policy = hedging(clock, { maxExtraLoad: 0.05 });
    let runs = 0;
    for (let call = 1; call <= 400; call += 1) {
      const slow = policy.run(async ({ signal }) => {
        runs += 1;
        await clock.sleep(150, signal);
      });
      await settle(clock, slow, 150);
      expect(runs - call).toBeLessThanOrEqual(0.05 * call + 1e-9);
    }
    expect(runs - 400).toBe(20);
    expect(policy.snapshot()).toMatchObject({ deniedByMaxExtraLoad: 380 });
  });

  it("follows the percentile of the latencies, between min and max, from initial on", async () => {
    const clock = manualClock();
    const delay = { percentile: 90, initial: "1s", min: "5ms", max: "2s" } as const;
    const policy = hedge({ delay, clock });
    const delayNow = (): number => policy.snapshot()["delayMs"] as number;
    const take = async (ms: number, calls: number): Promise<void> => {
      for (let call = 0; call < calls; call += 1)
        await settle(
          clock,
          policy.run(() => clock.sleep(ms)),
          ms + 10_000,
        );
    };
    await take(50, 9);
    expect(delayNow()).toBe(1_000);
    await take(50, 50);
    expect(delayNow()).toBeGreaterThanOrEqual(49);
    expect(delayNow()).toBeLessThanOrEqual(51);
    await take(1, 2_000);
    expect(delayNow()).toBe(5);
    const slow = hedge({ delay: { ...delay, initial: "2s" }, clock });
    for (let call = 0; call < 20; call += 1)
      await settle(
        clock,
        slow.run(() => clock.sleep("1m")),
        120_000,
      );
    expect(slow.snapshot()["delayMs"]).toBe(2_000);
  });

  it("does not shrink its delay because slow first runs lose: about a tenth of the calls stays hedged", async () => {
    const clock = manualClock();
    const policy = hedge({ delay: { percentile: 90, initial: "100ms" }, clock });
    for (let call = 0; call < 2_000; call += 1) {
      // Latencies from 10 to 109 ms in turn; a hedge answers in 1 ms.
      const ms = 10 + ((call * 37) % 100);
      const run = policy.run(({ hedge: index, signal }) => clock.sleep(index === 0 ? ms : 1, signal));
      clock.advanceSync(0);
      await settle(clock, run, 200);
    }
    const { hedges, delayMs } = policy.snapshot() as unknown as { hedges: number; delayMs: number };
    expect(delayMs).toBeGreaterThan(93);
    expect(delayMs).toBeLessThan(105);
    expect(hedges / 2_000).toBeLessThan(0.15);
  });

  it("lives inside a timeout, which ends all runs, and around one, which ends each", async () => {
    const clock = manualClock();
    const outer = scripted(clock, { ms: 60_000 }, { ms: 60_000 });
    const total = timeout("1s", { clock }).run((context) => hedging(clock).run(outer.task, context));
    await expect(settle(clock, total)).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(outer.contexts.map((context) => context.signal.aborted)).toEqual([true, true]);
    const inner = scripted(clock, { ms: 60_000 }, { ms: 10 });
    const each = hedging(clock).run((context) => timeout("50ms", { clock }).run(inner.task, context));
    await expect(settle(clock, each)).resolves.toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it("shows itself as plain JSON, and describes itself", () => {
    const policy = hedge({ name: "reads", delay: { percentile: 95, initial: 20 }, maxHedges: 2 });
    expect(JSON.parse(JSON.stringify(policy.snapshot()))).toEqual({
      kind: "hedge",
      name: "reads",
      runs: 0,
      hedgedRuns: 0,
      hedges: 0,
      winsByHedge: [0, 0, 0],
      deniedByBudget: 0,
      deniedByMaxExtraLoad: 0,
      delayMs: 20,
    });
    expect(policy.describe()).toEqual({
      kind: "hedge",
      name: "reads",
      summary: "starts up to 2 more runs after the 95th percentile of latency, takes the first success",
      maxRuns: 3,
    });
  });

  it.each([
    ["delay", { delay: 0 }],
    ["delay", {}],
    ["delay.percentile", { delay: { percentile: 0.95, initial: 10 } }],
    ["delay.percentile", { delay: { percentile: 100, initial: 10 } }],
    ["delay.initial", { delay: { percentile: 95 } }],
    ["delay.initial", { delay: { percentile: 95, initial: 10, min: 20 } }],
    ["delay.max", { delay: { percentile: 95, initial: 10, min: 20, max: 5 } }],
    ["maxHedges", { delay: 5, maxHedges: 0 }],
    ["maxHedges", { delay: 5, maxHedges: 11 }],
    ["maxExtraLoad", { delay: 5, maxExtraLoad: 0 }],
    ["maxExtraLoad", { delay: 5, maxExtraLoad: 1.5 }],
    ["hedgeOn", { delay: 5, hedgeOn: "always" }],
    ["budget", { delay: 5, budget: 3 }],
  ])("refuses a bad %s at construction", (option, options) => {
    const make = (): unknown => hedge(options as unknown as HedgeOptions);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ owner: "hedge", option }));
  });
});
