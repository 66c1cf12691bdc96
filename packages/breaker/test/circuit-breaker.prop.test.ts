import type { CircuitState, Permit, TripRule } from "@holdfast/breaker";
import { circuitBreaker, consecutive, countWindow, timeWindow } from "@holdfast/breaker";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const OPEN_MS = 10_000;
const PROBE_MS = 5_000;
const PROBES = 2;

/** What happens next. Calls are named by their place among all that were admitted. */
type Step =
  | { readonly do: "call" }
  | { readonly do: "end"; readonly call: number; readonly how: "succeed" | "fail" | "forget" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "jump"; readonly ms: number }
  | { readonly do: "reset" | "isolate" | "release" };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant({ do: "call" } as const) },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("end" as const),
        call: fc.nat(12),
        how: fc.constantFrom("succeed" as const, "fail" as const, "fail" as const, "forget" as const),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("wait" as const),
        ms: fc.constantFrom(1, 999, 1_000, 4_999, 5_000, 10_000, 3_600_000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("jump" as const), ms: fc.constantFrom(-3_600_000, 3_600_000) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("reset" as const, "isolate" as const, "release" as const) }),
    },
  ),
  { minLength: 5, maxLength: 60 },
);

/** A rule as one would write it down: all calls of the generation, oldest first; whether it trips. */
type Reference = (
  calls: readonly { readonly at: number; readonly failed: boolean }[],
  now: number,
) => boolean;

const rules: Readonly<Record<string, readonly [() => TripRule, Reference]>> = {
  consecutive: [
    () => consecutive({ failures: 3 }),
    (calls) => calls.length >= 3 && calls.slice(-3).every(({ failed }) => failed),
  ],
  "count window": [
    () => countWindow({ size: 5, failureRate: 0.5, minCalls: 3 }),
    (calls) => {
      const latest = calls.slice(-5);
      return latest.length >= 3 && latest.filter(({ failed }) => failed).length >= latest.length / 2;
    },
  ],
  "time window": [
    () => timeWindow({ window: 10_000, buckets: 10, failureRate: 0.5, minCalls: 3 }),
    (calls, now) => {
      const second = Math.floor(now / 1_000);
      const latest = calls.filter(({ at }) => Math.floor(at / 1_000) > second - 10);
      return latest.length >= 3 && latest.filter(({ failed }) => failed).length >= latest.length / 2;
    },
  ],
};

interface Call {
  readonly generation: number;
  readonly permit: Permit;
  readonly probeEndsAt: number | undefined;
  over: boolean;
}

/** A breaker as one would write it down, beside the real one. */
class Model {
  readonly clock = manualClock();
  readonly breaker;
  state: CircuitState = "closed";
  generation = 0;
  openUntil = 0;
  judged: { at: number; failed: boolean }[] = [];
  probed = 0;
  calls: Call[] = [];
  held: (() => void)[] = [];

  constructor(
    rule: TripRule,
    private readonly trips: Reference,
  ) {
    this.breaker = circuitBreaker({
      trip: rule,
      openFor: OPEN_MS,
      probes: PROBES,
      probeDeadline: PROBE_MS,
      clock: this.clock,
    });
  }

  become(state: CircuitState): void {
    this.state = state;
    this.generation += 1;
    this.judged = [];
    this.probed = 0;
    if (state === "open") this.openUntil = this.clock.monotonic() + OPEN_MS;
  }

  catchUp(): void {
    const now = this.clock.monotonic();
    if (this.state === "open" && now >= this.openUntil) this.become("half-open");
    if (this.state === "half-open" && this.probesOut().some(({ probeEndsAt }) => now >= probeEndsAt!))
      this.become("open");
  }

  probesOut(): Call[] {
    return this.calls.filter(
      ({ generation, probeEndsAt, over }) =>
        !over && generation === this.generation && probeEndsAt !== undefined,
    );
  }

  call(): void {
    this.catchUp();
    const mayPass =
      this.state === "closed" ||
      (this.state === "half-open" && this.probesOut().length < PROBES - this.probed);
    const answer = this.breaker.acquire();
    expect(answer.admitted).toBe(mayPass);
    if (!answer.admitted) {
      expect(answer.state).toBe(this.state);
      if (this.state === "open") expect(answer.retryAfterMs).toBe(this.openUntil - this.clock.monotonic());
      return;
    }
    const probeEndsAt = this.state === "half-open" ? this.clock.monotonic() + PROBE_MS : undefined;
    this.calls.push({ generation: this.generation, permit: answer, probeEndsAt, over: false });
  }

  end(index: number, how: "succeed" | "fail" | "forget"): void {
    const call = this.calls[index % Math.max(1, this.calls.length)];
    if (call === undefined) return;
    if (how === "fail") call.permit.fail(new Error("down"));
    else call.permit[how]();
    if (call.over) return;
    call.over = true;
    if (call.generation !== this.generation || how === "forget") return;
    const now = this.clock.monotonic();
    const failed = how === "fail";
    if (call.probeEndsAt !== undefined) {
      if (failed || now >= call.probeEndsAt) this.become("open");
      else if ((this.probed += 1) >= PROBES) this.become("closed");
    } else if (this.state === "closed") {
      this.judged.push({ at: now, failed });
      if (this.trips(this.judged, now)) this.become("open");
    }
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "call":
        return this.call();
      case "end":
        return this.end(step.call, step.how);
      case "wait":
        return this.clock.advance(step.ms);
      case "jump":
        return this.clock.jumpWallClock(step.ms);
      case "isolate":
        this.held.push(this.breaker.isolate());
        if (this.state !== "isolated") this.become("isolated");
        return;
      case "release": {
        this.held.pop()?.();
        if (this.state === "isolated" && this.held.length === 0) this.become("half-open");
        return;
      }
      case "reset":
        this.breaker.reset();
        this.held = [];
        this.become("closed");
    }
  }
}

describe("circuitBreaker beside a breaker as one would write it down", () => {
  for (const [name, [rule, reference]] of Object.entries(rules))
    it(`does the same in any history of calls, late answers, hung probes and clock jumps: ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (plan) => {
          const model = new Model(rule(), reference);
          for (const step of plan) {
            await model.take(step);
            model.catchUp();
            expect(model.breaker.snapshot()).toMatchObject({
              state: model.state,
              probing: model.probesOut().length,
              probed: model.probed,
            });
          }
        }),
        { numRuns: 1_500 },
      );
    });
});
