// What every limit promises, over any schedule: of the rules alone, on a time that the test makes.
import {
  concurrency,
  fixedWindow,
  gcra,
  leakyBucket,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "@holdfast/ratelimit";
import type { Limit, LimitState, Rule } from "@holdfast/ratelimit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

interface Step {
  /** Microseconds since the step before; negative when the clock was set back. */
  readonly after: number;
  readonly cost: number;
}

interface Admitted {
  readonly at: number;
  readonly cost: number;
}

const START = 1_700_000_000_000_000;

/** Takes whatever is allowed. */
function admittedBy({ rule }: Limit, steps: readonly Step[]): readonly Admitted[] {
  const state = rule.create();
  const admitted: Admitted[] = [];
  let now = START;
  for (const { after, cost } of steps) {
    now += after;
    rule.advance(state, now);
    if (rule.waitFor(state, now, cost) > 0) continue;
    rule.spend(state, now, cost);
    if (cost > 0) admitted.push({ at: now, cost });
  }
  return admitted;
}

/** The most that was admitted in any window of that length, the window's end included only if `closed`. */
function mostWithin(admitted: readonly Admitted[], lengthUs: number): number {
  let most = 0;
  let sum = 0;
  let from = 0;
  for (const { at, cost } of admitted) {
    sum += cost;
    while (admitted[from]!.at <= at - lengthUs) {
      sum -= admitted[from]!.cost;
      from += 1;
    }
    most = Math.max(most, sum);
  }
  return most;
}

const steps = (maxGapUs: number, maxCost: number): fc.Arbitrary<readonly Step[]> =>
  fc.array(
    fc.record({
      after: fc.oneof(
        fc.constant(0),
        fc.integer({ min: 0, max: 2_000 }),
        fc.integer({ min: 0, max: maxGapUs }),
      ),
      cost: fc.integer({ min: 0, max: maxCost }),
    }),
    { minLength: 1, maxLength: 120 },
  );

const quota = fc.integer({ min: 1, max: 20 });
const perMs = fc.integer({ min: 1, max: 5_000 });
const refill = fc.integer({ min: 1, max: 40 });

const buckets: fc.Arbitrary<readonly [Limit, number, number, number]> = fc
  .tuple(quota, refill, perMs, fc.constantFrom("token", "leaky", "gcra"))
  .map(([capacity, rate, per, kind]) => {
    if (kind === "token") return [tokenBucket({ capacity, refill: rate, per }), capacity, rate, per] as const;
    if (kind === "leaky") return [leakyBucket({ capacity, leak: rate, per }), capacity, rate, per] as const;
    return [gcra({ burst: capacity, rate, per }), capacity, rate, per] as const;
  });

describe("buckets", () => {
  it("admit at most capacity + refill × time in every stretch of time, as exact fractions", () => {
    fc.assert(
      fc.property(buckets, steps(3_000_000, 6), ([limit, capacity, rate, per], plan) => {
        const admitted = admittedBy(limit, plan);
        for (let from = 0; from < admitted.length; from += 1) {
          let sum = 0n;
          for (let to = from; to < admitted.length; to += 1) {
            sum += BigInt(admitted[to]!.cost);
            const elapsed = BigInt(admitted[to]!.at - admitted[from]!.at);
            // sum ≤ capacity + rate · elapsed / per
            const perUs = BigInt(per) * 1_000n;
            expect(sum * perUs <= BigInt(capacity) * perUs + BigInt(rate) * elapsed).toBe(true);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("decide as exact fractions do: nobody entitled is refused", () => {
    fc.assert(
      fc.property(buckets, steps(3_000_000, 6), ([{ rule }, capacity, rate, per], plan) => {
        const state = rule.create();
        // Debt in tokens × per (in microseconds).
        const perUs = BigInt(per) * 1_000n;
        let debt = 0n;
        let now = START;
        for (const { after, cost } of plan) {
          now += after;
          debt -= BigInt(after) * BigInt(rate);
          if (debt < 0n) debt = 0n;
          rule.advance(state, now);
          const fits = debt + BigInt(cost) * perUs <= BigInt(capacity) * perUs;
          expect(rule.waitFor(state, now, cost) === 0).toBe(fits);
          if (!fits) continue;
          rule.spend(state, now, cost);
          debt += BigInt(cost) * perUs;
        }
      }),
      { numRuns: 500 },
    );
  });

  it("admit no more when clocks are set back and forth", () => {
    fc.assert(
      fc.property(
        buckets,
        fc.array(
          fc.record({
            after: fc.integer({ min: -5_000_000, max: 5_000_000 }),
            cost: fc.integer({ min: 0, max: 4 }),
          }),
        ),
        ([limit, capacity, rate, per], plan) => {
          let now = 0;
          let first = Infinity;
          let last = -Infinity;
          for (const { after } of plan) {
            now += after;
            first = Math.min(first, now);
            last = Math.max(last, now);
          }
          const sum = admittedBy(limit, plan).reduce((total, { cost }) => total + cost, 0);
          const span = plan.length === 0 ? 0 : last - first;
          expect(sum).toBeLessThanOrEqual(capacity + Math.ceil((rate * span) / (per * 1_000)));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("windows", () => {
  const window = fc.tuple(quota, perMs);

  it("an exact window admits at most its limit in any window, and refuses nobody who fits", () => {
    fc.assert(
      fc.property(window, steps(6_000_000, 6), ([limit, windowMs], plan) => {
        const log = slidingLog({ limit, window: windowMs });
        expect(mostWithin(admittedBy(log, plan), windowMs * 1_000)).toBeLessThanOrEqual(limit);
        const state = log.rule.create();
        const admitted: Admitted[] = [];
        let now = START;
        for (const { after, cost } of plan) {
          now += after;
          log.rule.advance(state, now);
          const used = admitted
            .filter(({ at }) => at > now - windowMs * 1_000)
            .reduce((sum, one) => sum + one.cost, 0);
          expect(log.rule.waitFor(state, now, cost) === 0).toBe(used + cost <= limit);
          expect(log.rule.remaining(state, now)).toBe(limit - used);
          if (used + cost > limit) continue;
          log.rule.spend(state, now, cost);
          admitted.push({ at: now, cost });
        }
      }),
      { numRuns: 300 },
    );
  });

  it("a fixed window admits at most its limit in each window of the clock", () => {
    fc.assert(
      fc.property(window, steps(6_000_000, 6), ([limit, windowMs], plan) => {
        const counts = new Map<number, number>();
        for (const { at, cost } of admittedBy(fixedWindow({ limit, window: windowMs }), plan)) {
          const number = Math.floor(at / (windowMs * 1_000));
          counts.set(number, (counts.get(number) ?? 0) + cost);
        }
        for (const count of counts.values()) expect(count).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it("a sliding window of two counters admits less than twice its limit in any window, and its limit in each of the clock", () => {
    fc.assert(
      fc.property(window, steps(6_000_000, 6), ([limit, windowMs], plan) => {
        const admitted = admittedBy(slidingWindow({ limit, window: windowMs }), plan);
        expect(mostWithin(admitted, windowMs * 1_000)).toBeLessThanOrEqual(2 * limit);
      }),
    );
  });

  it("[pitfall 20] a sliding window of 1 admits again, within two windows", () => {
    fc.assert(
      fc.property(perMs, fc.integer({ min: 0, max: 5_000_000 }), (windowMs, offset) => {
        const { rule } = slidingWindow({ limit: 1, window: windowMs });
        const state = rule.create();
        const now = START + offset;
        rule.advance(state, now);
        expect(rule.waitFor(state, now, 1)).toBe(0);
        rule.spend(state, now, 1);
        const wait = rule.waitFor(state, now, 1);
        expect(wait).toBeGreaterThan(0);
        expect(wait).toBeLessThanOrEqual(2 * windowMs * 1_000);
      }),
    );
  });
});

/** A state from which a plan has taken what it could. */
function usedBy(rule: Rule, plan: readonly Step[]): { readonly state: LimitState; readonly now: number } {
  const state = rule.create();
  let now = START;
  for (const { after, cost } of plan) {
    now += after;
    rule.advance(state, now);
    if (rule.waitFor(state, now, cost) === 0) rule.spend(state, now, cost);
  }
  return { state, now };
}

describe("every limit", () => {
  const anyLimit: fc.Arbitrary<Limit> = fc.oneof(
    buckets.map(([limit]) => limit),
    fc.tuple(quota, perMs).map(([limit, window]) => fixedWindow({ limit, window })),
    fc.tuple(quota, perMs).map(([limit, window]) => slidingWindow({ limit, window })),
    fc.tuple(quota, perMs).map(([limit, window]) => slidingLog({ limit, window })),
    fc.tuple(quota, perMs).map(([limit, lease]) => concurrency({ limit, lease })),
  );

  it("tells exactly how long to wait: not a microsecond less would do, and nobody waits for ever", () => {
    fc.assert(
      fc.property(anyLimit, steps(3_000_000, 6), fc.integer({ min: 1, max: 20 }), (limit, plan, wanted) => {
        const { rule } = limit;
        const cost = Math.min(wanted, limit.quota);
        const { state, now } = usedBy(rule, plan);
        const wait = rule.waitFor(state, now, cost);
        expect(Number.isSafeInteger(wait) && wait >= 0).toBe(true);
        if (wait === 0) return;
        rule.advance(state, now + wait - 1);
        expect(rule.waitFor(state, now + wait - 1, cost)).toBe(1);
        rule.advance(state, now + wait);
        expect(rule.waitFor(state, now + wait, cost)).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  it("can be forgotten when it says so: what is left is what a new one has", () => {
    fc.assert(
      fc.property(anyLimit, steps(3_000_000, 6), (limit, plan) => {
        const { rule } = limit;
        const { state, now } = usedBy(rule, plan);
        const rest = rule.restsIn(state, now);
        rule.advance(state, now + rest);
        expect(rule.remaining(state, now + rest)).toBe(limit.quota);
        expect(rule.restsIn(state, now + rest)).toBeLessThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });

  it("is left as it was by a take that is given back at once", () => {
    fc.assert(
      fc.property(anyLimit, steps(1_000_000, 4), fc.integer({ min: 1, max: 20 }), (limit, plan, wanted) => {
        const { rule } = limit;
        const { state, now } = usedBy(rule, plan);
        const before = rule.remaining(state, now);
        const cost = Math.min(wanted, before);
        const mark = rule.spend(state, now, cost);
        expect(rule.remaining(state, now)).toBe(before - cost);
        rule.refund(state, now, cost, mark);
        expect(rule.remaining(state, now)).toBe(before);
      }),
      { numRuns: 500 },
    );
  });

  it("shares itself among instances so that all together keep it", () => {
    fc.assert(
      fc.property(anyLimit, fc.integer({ min: 1, max: 50 }), (limit, instances) => {
        const share = limit.share(instances);
        // One each where there is less than one for each: of a bucket, beyond its capacity but not beyond its rate.
        expect(share.quota * instances <= limit.quota || share.quota === 1).toBe(true);
        // Of places there is no rate that could be slower.
        if (limit.algorithm === "concurrency") return;
        const [many, one] = [BigInt(instances), rateOf(share)];
        const whole = rateOf(limit);
        expect(many * one.amount * whole.time <= whole.amount * one.time).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

/** What a limit gives back in which time, as whole numbers. */
function rateOf({ rule, quota, windowMs }: Limit): { readonly amount: bigint; readonly time: bigint } {
  const [, perToken, perTick, tickUs] = rule.parameters;
  if (rule.kind === "bucket") return { amount: BigInt(perTick!), time: BigInt(perToken!) * BigInt(tickUs!) };
  return { amount: BigInt(quota), time: BigInt(windowMs) };
}
