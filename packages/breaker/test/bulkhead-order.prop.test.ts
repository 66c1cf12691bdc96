import { adaptiveConcurrency, aimd, bulkhead, fairBulkhead } from "@holdfast/breaker";
import type { Policy } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

type Step =
  | { readonly do: "call"; readonly key: number }
  | { readonly do: "end" | "abort"; readonly call: number }
  | { readonly do: "pass" };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("call" as const), key: fc.nat(2) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("end" as const), call: fc.nat(30) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), call: fc.nat(30) }) },
    { weight: 3, arbitrary: fc.constant({ do: "pass" } as const) },
  ),
  { maxLength: 80 },
);

interface Call {
  readonly id: number;
  readonly key: number;
  readonly stop: AbortController;
  /** What the caller was told. */
  outcome: unknown;
  running: boolean;
  end: () => void;
}

interface Seen {
  /** Which calls began, in order; each with those that were waiting at that moment. */
  readonly starts: readonly { readonly call: Call; readonly waiting: readonly Call[] }[];
  readonly most: number;
  readonly calls: readonly Call[];
}

/** Plays a plan: steps come between microtasks as well as after them, so that each await is once interrupted. */
async function play(
  plan: readonly Step[],
  clock: ManualClock,
  policyOf: (key: number) => Policy,
): Promise<Seen> {
  const calls: Call[] = [];
  const starts: { call: Call; waiting: readonly Call[] }[] = [];
  let running = 0;
  let most = 0;
  const waiting = (): readonly Call[] =>
    calls.filter((call) => call.outcome === undefined && !starts.some((start) => start.call === call));
  const begin = (key: number): void => {
    const stop = new AbortController();
    const call: Call = { id: calls.length, key, stop, outcome: undefined, running: false, end: () => {} };
    calls.push(call);
    const task = (): Promise<void> => {
      starts.push({ call, waiting: waiting().filter((other) => other !== call) });
      call.running = true;
      most = Math.max(most, (running += 1));
      return new Promise((resolve) => {
        call.end = () => {
          if (!call.running) return;
          call.running = false;
          running -= 1;
          resolve();
        };
      });
    };
    policyOf(key)
      .run(task, { signal: stop.signal })
      .then(
        () => (call.outcome = "ended"),
        (error: unknown) => (call.outcome = (error as { code?: unknown }).code ?? error),
      );
  };
  for (const step of plan) {
    if (step.do === "call") begin(step.key);
    else if (step.do === "pass") await Promise.resolve();
    else if (step.do === "end") calls[step.call]?.end();
    else if (calls[step.call]?.outcome === undefined) calls[step.call]?.stop.abort(`stop ${step.call}`);
  }
  for (let round = 0; round < 200 && calls.some(({ outcome }) => outcome === undefined); round += 1) {
    for (const call of calls) call.end();
    await clock.advance(0);
  }
  return { starts, most, calls };
}

/** Every call was answered, and with what it should be. */
function expectAnswers({ calls, starts }: Seen): void {
  for (const call of calls) {
    const began = starts.filter((start) => start.call === call).length;
    expect(began).toBeLessThanOrEqual(1);
    expect(["ended", "BULKHEAD_FULL", `stop ${call.id}`]).toContain(call.outcome);
    if (call.outcome === "BULKHEAD_FULL") expect(began).toBe(0);
    if (call.outcome === "ended") expect(began).toBe(1);
  }
}

/** Whether `other` came first and has been left waiting: neither aborted nor refused, as it learns a moment later. */
function isPassed(other: Call, by: Call): boolean {
  return other.id < by.id && !other.stop.signal.aborted && other.outcome !== "BULKHEAD_FULL";
}

const size = fc.integer({ min: 1, max: 3 });
const runs = { numRuns: 2_000 };

describe("whoever comes, ends and aborts when", () => {
  it("[bug 2] [bug 28] a bulkhead starts strictly in the order of arrival, within its size, and loses no slot", async () => {
    await fc.assert(
      fc.asyncProperty(steps, size, fc.nat(8), async (plan, concurrent, queue) => {
        const clock = manualClock();
        const guard = bulkhead({ concurrent, queue, clock });
        const leaks = leakCheck({ clocks: [clock] });
        const seen = await play(plan, clock, () => guard);
        expect(seen.most).toBeLessThanOrEqual(concurrent);
        for (const { call, waiting } of seen.starts)
          expect(waiting.filter((other) => isPassed(other, call))).toEqual([]);
        expectAnswers(seen);
        expect([guard.running, guard.waiting]).toEqual([0, 0]);
        leaks.assertNone();
      }),
      runs,
    );
  });

  it("a fair bulkhead starts each tenant's calls in order, within its size, and forgets tenants", async () => {
    await fc.assert(
      fc.asyncProperty(steps, size, size, fc.nat(8), async (plan, concurrent, perKey, queuePerKey) => {
        const clock = manualClock();
        const concurrentPerKey = Math.min(perKey, concurrent);
        const guard = fairBulkhead({ concurrent, concurrentPerKey, queuePerKey, clock });
        const seen = await play(plan, clock, (key) => guard.for(`tenant-${key}`));
        expect(seen.most).toBeLessThanOrEqual(concurrent);
        for (const { call, waiting } of seen.starts)
          expect(waiting.filter((other) => other.key === call.key && isPassed(other, call))).toEqual([]);
        expectAnswers(seen);
        expect([guard.running, guard.waiting, guard.keys]).toEqual([0, 0, 0]);
      }),
      runs,
    );
  });

  it("a tenant who waits is passed by each other tenant once at most", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const clock = manualClock();
        const guard = fairBulkhead({ concurrent: 1, queuePerKey: 100, clock });
        const { starts } = await play(plan, clock, (key) => guard.for(`tenant-${key}`));
        for (const [at, { waiting }] of starts.entries())
          for (const key of new Set(waiting.map((call) => call.key))) {
            // Those of this key that wait now and are never aborted have to begin within one turn of the others.
            if (!waiting.some((call) => call.key === key && call.outcome === "ended")) continue;
            const next = starts.slice(at + 1).findIndex(({ call }) => call.key === key);
            expect(next).toBeGreaterThanOrEqual(0);
            const passedBy = starts.slice(at + 1, at + 1 + next).map(({ call }) => call.key);
            expect(new Set(passedBy).size).toBe(passedBy.length);
          }
      }),
      runs,
    );
  });

  it("an adaptive limit keeps within itself, shares what is left, and loses no slot", async () => {
    await fc.assert(
      fc.asyncProperty(steps, size, fc.nat(8), async (plan, limit, queue) => {
        const clock = manualClock();
        const guard = adaptiveConcurrency({
          algorithm: aimd(),
          initial: limit,
          min: limit,
          max: limit,
          queue,
          partitions: { "0": 0.5 },
          partition: ({ idempotencyKey }) => idempotencyKey,
          clock,
        });
        const seen = await play(plan, clock, (key) => ({
          kind: guard.kind,
          name: guard.name,
          describe: () => guard.describe(),
          snapshot: () => guard.snapshot(),
          run: (task, options) => guard.run(task, { ...options, idempotencyKey: String(key) }),
        }));
        // Beyond the limit a share is guaranteed only.
        expect(seen.most).toBeLessThanOrEqual(limit + Math.ceil(0.5 * limit));
        expectAnswers(seen);
        expect([guard.running, guard.waiting]).toEqual([0, 0]);
      }),
      runs,
    );
  });
});
