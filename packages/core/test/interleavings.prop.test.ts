// Timeout and hedge under every interleaving of settling, aborting and time that we can think of.
import { getEventListeners } from "node:events";
import fc from "fast-check";
import { afterAll, describe, expect, it, vi } from "vitest";
import type { Context } from "@holdfast/core";
import { hasCode, hedge, retryBudget, timeout } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";

const unhandled = vi.fn();
process.on("unhandledRejection", unhandled);
afterAll(() => {
  expect(unhandled).not.toHaveBeenCalled();
});

/** What one run of the task does. */
interface Script {
  /** When it settles, in milliseconds after its start; `undefined`: never by itself. */
  readonly ms: number | undefined;
  readonly fails: boolean;
  /** What it does about its signal. */
  readonly ears: "deaf" | "signal" | "onAbort";
  /** How long it takes to stop once it is told to. */
  readonly windDownMs: number;
}

const script: fc.Arbitrary<Script> = fc.record({
  ms: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined, freq: 4 }),
  fails: fc.boolean(),
  ears: fc.constantFrom("deaf", "signal", "onAbort"),
  windDownMs: fc.constantFrom(0, 0, 5, 40),
});

type Step =
  | { readonly kind: "advance"; readonly ms: number }
  /** Time passes while no promise gets to run, as in a blocked event loop. */
  | { readonly kind: "block"; readonly ms: number }
  | { readonly kind: "jump"; readonly ms: number }
  | { readonly kind: "microtask" }
  | { readonly kind: "abort" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 25 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("block" as const), ms: fc.integer({ min: 0, max: 40 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("jump" as const), ms: fc.constantFrom(-3_600_000, 3_600_000) }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "microtask" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "abort" as const }) },
);
const steps = fc.array(step, { maxLength: 12 });

class World {
  readonly clock: ManualClock = manualClock();
  readonly caller = new AbortController();
  readonly reason = { by: "the caller" };
  readonly contexts: Context[] = [];
  /** Errors the runs have thrown by themselves. */
  readonly thrown: unknown[] = [];
  /** Runs that have answered. */
  readonly answered: number[] = [];
  settledTimes = 0;
  outcome: { readonly value: unknown } | { readonly error: unknown } | undefined;
  #abortedAt: number | undefined;

  constructor(private readonly scripts: readonly Script[]) {}

  get abortedAt(): number | undefined {
    return this.#abortedAt;
  }

  readonly task = (context: Context): Promise<number> => {
    const run = this.contexts.push(context) - 1;
    const { ms, fails, ears, windDownMs } = this.scripts[run % this.scripts.length]!;
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        this.thrown.push(error);
        reject(error as Error);
      };
      const timer =
        ms === undefined
          ? undefined
          : this.clock.setTimer(ms, () => {
              if (fails) return fail(new Error(`run ${run} failed`));
              this.answered.push(run);
              resolve(run);
            });
      const stop = (): void => {
        timer?.cancel();
        this.clock.setTimer(windDownMs, () => fail(new Error(`run ${run} stopped`)));
      };
      if (ears === "onAbort") context.onAbort(stop);
      if (ears === "signal") context.signal.addEventListener("abort", stop);
    });
  };

  watch(call: Promise<unknown>): void {
    call.then(
      (value) => {
        this.settledTimes += 1;
        this.outcome = { value };
      },
      (error: unknown) => {
        this.settledTimes += 1;
        this.outcome = { error };
      },
    );
  }

  async apply(each: Step): Promise<void> {
    if (each.kind === "advance") await this.clock.advance(each.ms);
    if (each.kind === "block") this.clock.advanceSync(each.ms);
    if (each.kind === "jump") this.clock.jumpWallClock(each.ms);
    if (each.kind === "microtask") await Promise.resolve();
    if (each.kind === "abort") this.abort();
  }

  abort(): void {
    this.#abortedAt ??= this.clock.monotonic();
    this.caller.abort(this.reason);
  }

  /** Lets everything that can still happen happen, and in the end aborts what never would. */
  async finish(): Promise<void> {
    await this.clock.advance(1_000);
    if (this.outcome === undefined) this.abort();
    await this.clock.advance(1_000);
  }

  expectNothingLeft(): void {
    expect(this.settledTimes).toBe(1);
    expect(this.clock.pendingTimers).toBe(0);
    expect(getEventListeners(this.caller.signal, "abort").length).toBe(0);
  }
}

const LIMIT_MS = 30;

describe("timeout under every interleaving", () => {
  it.each(["racing", "cooperative"] as const)(
    "%s: settles once, for a reason that is there",
    async (strategy) => {
      await fc.assert(
        fc.asyncProperty(script, steps, async (only, timeline) => {
          // A cooperative timeout waits for a deaf task as long as it takes: let that be finite.
          const endless = strategy === "cooperative" && only.ears === "deaf" && only.ms === undefined;
          const world = new World([endless ? { ...only, ms: 50 } : only]);
          const { clock, caller } = world;
          world.watch(timeout(LIMIT_MS, { clock, strategy }).run(world.task, { signal: caller.signal }));
          for (const each of timeline) await world.apply(each);
          await world.finish();
          world.expectNothingLeft();

          const { outcome, abortedAt } = world;
          if (outcome === undefined) throw new Error("unreachable");
          if ("value" in outcome) expect(world.answered).toContain(outcome.value);
          else if (hasCode(outcome.error, "TIMEOUT"))
            expect(abortedAt ?? Infinity).toBeGreaterThanOrEqual(LIMIT_MS);
          else if (outcome.error === world.reason) expect(abortedAt).toBeLessThanOrEqual(LIMIT_MS + 1_000);
          else expect(world.thrown).toContain(outcome.error);
          const said = world.contexts[0]?.signal;
          if ("value" in outcome && strategy === "racing" && abortedAt === undefined)
            expect(said?.aborted).toBe(false);
        }),
        { numRuns: 2_000 },
      );
    },
  );

  it("whoever comes first in time decides, when promises get to run", async () => {
    const moment = fc.integer({ min: 0, max: 60 });
    await fc.assert(
      fc.asyncProperty(script, fc.option(moment, { nil: undefined }), async (only, abortAt) => {
        const world = new World([only]);
        const { clock, caller } = world;
        world.watch(timeout(LIMIT_MS, { clock }).run(world.task, { signal: caller.signal }));
        if (abortAt !== undefined) {
          await clock.advance(abortAt);
          world.abort();
        }
        await world.finish();
        world.expectNothingLeft();
        const first = Math.min(only.ms ?? Infinity, abortAt ?? Infinity, LIMIT_MS);
        // The limit's timer was set before the task's, so that it wins at the same moment.
        if (first === LIMIT_MS) expect(world.outcome).toMatchObject({ error: { code: "TIMEOUT" } });
        else if (first === only.ms) expect(world.outcome).toHaveProperty(only.fails ? "error" : "value");
        else expect(world.outcome).toEqual({ error: world.reason });
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("hedge under every interleaving", () => {
  it("settles once and explainably, aborts losers only, keeps to its number of runs and to its budget", async () => {
    const scripts = fc.array(script, { minLength: 1, maxLength: 4 });
    const maxHedges = fc.integer({ min: 1, max: 3 });
    await fc.assert(
      fc.asyncProperty(scripts, maxHedges, fc.boolean(), steps, async (plans, hedges, tight, timeline) => {
        const world = new World(plans);
        const { clock, caller } = world;
        const budget = retryBudget({ clock, ratio: 0, minPerSecond: tight ? 0.1 : 10, minInFlight: 2 });
        const policy = hedge({ delay: 15, maxHedges: hedges, budget, clock });
        world.watch(policy.run(world.task, { signal: caller.signal }));
        for (const each of timeline) await world.apply(each);
        await world.finish();
        // Deaf runs that never end keep only themselves.
        expect(world.settledTimes).toBe(1);
        expect(getEventListeners(caller.signal, "abort").length).toBeLessThanOrEqual(1);
        expect(clock.pendingTimers).toBe(0);

        const { outcome, contexts, abortedAt } = world;
        if (outcome === undefined) throw new Error("unreachable");
        expect(contexts.length).toBeLessThanOrEqual(1 + (tight ? Math.min(1, hedges) : hedges));
        expect(contexts.map((context) => context.hedge)).toEqual(contexts.map((_, run) => run));
        const endless = (run: number): boolean => {
          const { ms, ears } = plans[run % plans.length]!;
          return ears === "deaf" && ms === undefined;
        };
        const deafForever = contexts.filter((_, run) => run > 0 && endless(run)).length;
        expect(budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: deafForever });

        if ("value" in outcome) {
          const winner = contexts[outcome.value as number]!;
          expect(world.answered).toContain(outcome.value);
          expect(winner.aborted && abortedAt === undefined).toBe(false);
          for (const each of contexts) expect(each.signal.aborted).toBe(each.aborted);
          // Whoever has not settled by itself was told to stop.
          expect(contexts.filter((each) => !each.aborted).length).toBeLessThanOrEqual(
            world.answered.length + world.thrown.length,
          );
          const snapshot = policy.snapshot() as unknown as { readonly winsByHedge: readonly number[] };
          expect(snapshot.winsByHedge[outcome.value as number]).toBe(1);
        } else if (outcome.error === world.reason) {
          expect(abortedAt).toBeDefined();
        } else {
          expect(world.thrown[0]).toBe(outcome.error);
          expect(abortedAt === undefined || world.thrown.length > 0).toBe(true);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
