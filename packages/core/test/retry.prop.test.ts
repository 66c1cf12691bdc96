import { getEventListeners } from "node:events";
import { constant, hasCode, pipeline, retry, retryBudget, timeout } from "@holdfast/core";
import type { Context, RetryBudget } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

// One call through pipeline(timeout(total), retry(attempts, wait), timeout(perTry)), driven step by step.
// Either timeout may be left out, so that none does retry's own work for it.

interface Limits {
  readonly attempts: number;
  readonly waitMs: number;
  readonly perTryMs: number;
  readonly totalMs: number;
}

interface Shape {
  readonly strategy: "racing" | "cooperative";
  readonly total: boolean;
  readonly perTry: boolean;
  readonly readsSignal: boolean;
}

type Step =
  | { readonly do: "succeed" | "fail" | "abort" }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "jump"; readonly ms: number };

const limits: fc.Arbitrary<Limits> = fc.record({
  attempts: fc.integer({ min: 1, max: 4 }),
  waitMs: fc.integer({ min: 1, max: 30 }),
  perTryMs: fc.integer({ min: 1, max: 30 }),
  totalMs: fc.integer({ min: 1, max: 90 }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Step>({ do: "fail" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "succeed" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: "abort" }) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 40 }).map((ms): Step => ({ do: "advance", ms })) },
  { weight: 1, arbitrary: fc.constantFrom(-3_600_000, 3_600_000).map((ms): Step => ({ do: "jump", ms })) },
);

type Outcome = "succeeded" | "failed" | "timed out: try" | "timed out: total" | "aborted" | undefined;

/** What the call must look like from outside, had it been written without promises, timers and signals. */
class Model {
  now = 0;
  tries = 1;
  outcome: Outcome;
  /** When the running try times out; `undefined` during a wait. */
  private tryEndsAt: number | undefined;
  private waitEndsAt = 0;

  constructor(private readonly limits: Limits) {
    this.tryEndsAt = limits.perTryMs;
  }

  apply(what: Step): void {
    if (what.do === "advance") this.advance(this.now + what.ms);
    if (this.outcome !== undefined) return;
    if (what.do === "abort") this.outcome = "aborted";
    if (this.tryEndsAt === undefined) return;
    if (what.do === "succeed") this.outcome = "succeeded";
    if (what.do === "fail") this.tryFailed("failed");
  }

  private advance(until: number): void {
    while (this.outcome === undefined) {
      const next = Math.min(this.tryEndsAt ?? this.waitEndsAt, this.limits.totalMs);
      if (next > until) break;
      this.now = next;
      if (next === this.limits.totalMs) this.outcome = "timed out: total";
      else if (this.tryEndsAt === undefined) this.nextTry();
      else this.tryFailed("timed out: try");
    }
    this.now = until;
  }

  private tryFailed(how: Outcome): void {
    const { attempts, waitMs, totalMs } = this.limits;
    this.tryEndsAt = undefined;
    this.waitEndsAt = this.now + waitMs;
    if (this.tries >= attempts || this.waitEndsAt >= totalMs) this.outcome = how;
  }

  private nextTry(): void {
    this.tries += 1;
    this.tryEndsAt = this.now + this.limits.perTryMs;
  }
}

/** The same call, for real. */
class Real {
  readonly clock: ManualClock = manualClock();
  readonly budget: RetryBudget = retryBudget({ minPerSecond: 1_000, minInFlight: 1_000, clock: this.clock });
  readonly reason: object = { reason: "the caller's own" };
  readonly errors: Error[] = [];
  /** Rules that were broken while the call ran. */
  readonly broken: string[] = [];
  tries = 0;
  outcome: Outcome;
  settlements = 0;
  private readonly controller = new AbortController();
  private settleTry: { resolve(value: string): void; reject(error: Error): void } | undefined;

  constructor(
    private readonly limits: Limits,
    private readonly shape: Shape,
  ) {
    const { clock, budget } = this;
    const { strategy, total, perTry } = shape;
    const own = retry({ attempts: limits.attempts, backoff: constant(limits.waitMs), budget, clock });
    const policy = pipeline(
      ...(total ? [timeout(limits.totalMs, { name: "total", clock, strategy })] : []),
      own,
      ...(perTry ? [timeout(limits.perTryMs, { name: "try", clock, strategy })] : []),
    );
    policy
      .run((context) => this.task(context), { signal: this.controller.signal })
      .then(
        () => this.settled("succeeded"),
        (error: unknown) => this.settled(this.nameOf(error)),
      );
  }

  get listeners(): number {
    return getEventListeners(this.controller.signal, "abort").length;
  }

  /** Does the step, but lets no promise settle. */
  applySync(what: Step): void {
    if (what.do === "succeed") this.settleTry?.resolve("value");
    else if (what.do === "abort") this.controller.abort(this.reason);
    else if (what.do === "jump") this.clock.jumpWallClock(what.ms);
    else if (what.do === "advance") this.clock.advanceSync(what.ms);
    else {
      const error = new Error("a try failed");
      this.errors.push(error);
      this.settleTry?.reject(error);
    }
  }

  /** Does the step, letting promises settle before, between timers and after. */
  async apply(what: Step): Promise<void> {
    if (what.do === "advance") return this.clock.advance(what.ms);
    this.applySync(what);
    return this.clock.advance(0);
  }

  private task(context: Context): Promise<string> {
    this.tries += 1;
    if (context.attempt !== this.tries) this.broken.push("a try has the wrong number");
    if (this.controller.signal.aborted || context.aborted) this.broken.push("called after an abort");
    if (this.shape.total && this.clock.monotonic() >= this.limits.totalMs)
      this.broken.push("called after the deadline");
    if (this.settlements > 0) this.broken.push("called after the call had settled");
    if (this.shape.readsSignal && context.signal.aborted)
      this.broken.push("the signal was aborted from the start");
    return new Promise((resolve, reject) => (this.settleTry = { resolve, reject }));
  }

  private settled(outcome: Outcome): void {
    this.settlements += 1;
    this.outcome = outcome;
  }

  private nameOf(error: unknown): Outcome {
    if (error === this.reason) return "aborted";
    if (this.errors.includes(error as Error)) return "failed";
    if (hasCode(error, "TIMEOUT"))
      return `timed out: ${(error as unknown as { operation: "try" | "total" }).operation}`;
    this.broken.push(`rejected with something else: ${String(error)}`);
    return undefined;
  }
}

describe("retry × timeout", () => {
  it("[bugs 4, 10, 12, 19, 23] does what the model does, step by step, whatever settles, aborts, expires or jumps", async () => {
    await fc.assert(
      fc.asyncProperty(
        limits,
        fc.array(step, { maxLength: 12 }),
        fc.boolean(),
        async (given, steps, readsSignal) => {
          const model = new Model(given);
          const real = new Real(given, { strategy: "racing", total: true, perTry: true, readsSignal });
          await real.clock.advance(0);
          for (const what of steps) {
            model.apply(what);
            await real.apply(what);
            expect({ outcome: real.outcome, tries: real.tries }).toEqual({
              outcome: model.outcome,
              tries: model.tries,
            });
            // The total's timer, and that of the try or of the wait.
            expect(real.clock.pendingTimers).toBe(model.outcome === undefined ? 2 : 0);
            if (model.outcome !== undefined) expect(real.listeners).toBe(0);
          }
          expect(real.broken).toEqual([]);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("[bugs 4, 10, 19, 28] keeps its promises when several things happen in one tick", async () => {
    const inTick = fc.record({ what: step, promisesSettle: fc.boolean() });
    const shapes: fc.Arbitrary<Shape> = fc.record({
      strategy: fc.constantFrom("racing" as const, "cooperative" as const),
      total: fc.boolean(),
      perTry: fc.boolean(),
      readsSignal: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(limits, fc.array(inTick, { maxLength: 14 }), shapes, async (given, steps, shape) => {
        const real = new Real(given, shape);
        for (const { what, promisesSettle } of steps) {
          real.applySync(what);
          if (promisesSettle) await real.clock.advance(0);
        }
        // To the end: every limit passes, and a task that a cooperative timeout waits for ends.
        for (let rest = 0; rest <= given.attempts; rest += 1) {
          await real.apply({ do: "advance", ms: 200 });
          await real.apply({ do: "fail" });
        }
        expect(real.broken).toEqual([]);
        expect(real.settlements).toBe(1);
        expect(real.outcome).toBeDefined();
        expect(real.tries).toBeLessThanOrEqual(given.attempts);
        expect(real.clock.pendingTimers).toBe(0);
        expect(real.listeners).toBe(0);
        expect(real.budget.snapshot()).toMatchObject({ callsInFlight: 0, extrasInFlight: 0 });
      }),
      { numRuns: 5_000 },
    );
  });
});
