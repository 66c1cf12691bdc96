import type {
  CircuitBreaker,
  CircuitBreakerOptions,
  CircuitRefusedEvent,
  CircuitStateEvent,
  Permit,
} from "@holdfast/breaker";
import { circuitBreaker, consecutive, countWindow, timeWindow } from "@holdfast/breaker";
import { channel, hasCode, InvalidOptionError, pipeline, retry, timeout } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

let clock: ManualClock;

beforeEach(() => {
  clock = manualClock();
});

/** Trips after two failures in a row, for 10 s. */
function open(options: CircuitBreakerOptions = {}): CircuitBreaker {
  return circuitBreaker({
    trip: consecutive({ failures: 2 }),
    openFor: "10s",
    clock,
    random: seededRandom(1),
    ...options,
  });
}

const down = new Error("down");
const fail = (breaker: CircuitBreaker, error: unknown = down): Promise<unknown> =>
  breaker.run(() => Promise.reject(error as Error)).catch((thrown: unknown) => thrown);
const succeed = (breaker: CircuitBreaker): Promise<unknown> =>
  breaker.run(() => "fine").catch((thrown: unknown) => thrown);
const isRefused = (outcome: unknown): boolean => hasCode(outcome, "CIRCUIT_OPEN");

async function trip(breaker: CircuitBreaker): Promise<void> {
  await fail(breaker);
  await fail(breaker);
}

/** A call that a test ends when it wants to. */
function hanging(
  breaker: CircuitBreaker,
  signal?: AbortSignal,
): { ended: Promise<unknown>; succeed(): void; fail(): void } {
  let resolve!: (value: unknown) => void;
  let reject!: (error: unknown) => void;
  const work = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  const ended = breaker.run(() => work, { signal }).catch((error: unknown) => error);
  return { ended, succeed: () => resolve("late"), fail: () => reject(down) };
}

describe("circuitBreaker", () => {
  it(
    row(73, "closed calls, open refuses without calling, half-open lets one test call through"),
    async () => {
      const breaker = open();
      await trip(breaker);
      expect(breaker.state).toBe("open");
      let calls = 0;
      const refused: unknown = await breaker.run(() => (calls += 1)).catch((error: unknown) => error);
      expect(refused).toMatchObject({
        code: "CIRCUIT_OPEN",
        status: 503,
        state: "open",
        retryAfterMs: 10_000,
      });
      expect(calls).toBe(0);
      await clock.advance("10s");
      expect(breaker.state).toBe("half-open");
      const probe = hanging(breaker);
      expect(isRefused(await succeed(breaker))).toBe(true);
      probe.succeed();
      expect(await probe.ended).toBe("late");
      expect(breaker.state).toBe("closed");
      expect(await succeed(breaker)).toBe("fine");
    },
  );

  it("passes values and errors on untouched, and wraps what is no Error", async () => {
    const breaker = open({ trip: consecutive({ failures: 100 }) });
    const value = {};
    expect(await breaker.run(() => value)).toBe(value);
    expect(await fail(breaker)).toBe(down);
    expect(await fail(breaker, "text")).toMatchObject({ code: "NON_ERROR_THROWN", thrown: "text" });
    expect(
      await breaker
        .run(() => {
          throw down;
        })
        .catch((error: unknown) => error),
    ).toBe(down);
    expect(breaker.snapshot().counts.failures).toBe(3);
  });

  it("[bug 16] takes a task that is not async and one that answers undefined for what they are", async () => {
    const breaker = open();
    expect(await breaker.run(() => undefined)).toBeUndefined();
    expect(breaker.snapshot().counts.failures).toBe(0);
  });

  it("opens again when a probe fails, longer each time, up to the most", async () => {
    const breaker = open({ openFor: { initial: "1s", max: "4s", factor: 2, jitter: 0 } });
    await trip(breaker);
    const waits: (number | undefined)[] = [];
    for (let times = 0; times < 4; times += 1) {
      waits.push(breaker.snapshot().openForMs);
      await clock.advance(breaker.snapshot().openForMs ?? 0);
      await fail(breaker);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 4_000]);
  });

  it("grows on when it trips again soon, and begins anew after a rest", async () => {
    const breaker = open({ openFor: { initial: "1s", max: "1h", factor: 2, jitter: 0 } });
    await trip(breaker);
    await clock.advance("1s");
    await succeed(breaker);
    await trip(breaker);
    expect(breaker.snapshot()).toMatchObject({ opens: 2, openForMs: 2_000 });
    await clock.advance("2s");
    await succeed(breaker);
    await clock.advance("2s");
    await trip(breaker);
    expect(breaker.snapshot()).toMatchObject({ opens: 1, openForMs: 1_000 });
  });

  it("spreads open times by draw, only upwards", async () => {
    const waits = new Set<number>();
    for (let seed = 1; seed <= 20; seed += 1) {
      const breaker = open({ openFor: { initial: "10s", jitter: 0.2 }, random: seededRandom(seed) });
      await trip(breaker);
      const wait = breaker.snapshot().openForMs!;
      expect(wait).toBeGreaterThanOrEqual(10_000);
      expect(wait).toBeLessThanOrEqual(12_000);
      waits.add(wait);
    }
    expect(waits.size).toBe(20);
  });

  it("stays open for as long as a Retry-After of its failures asks, within its limit", async () => {
    const breaker = open({ maxRetryAfter: "1m" });
    await fail(breaker, Object.assign(new Error("busy"), { retryAfterMs: 30_000 }));
    await fail(breaker);
    expect(breaker.snapshot().openForMs).toBe(30_000);
    await clock.advance("30s");
    await fail(breaker, Object.assign(new Error("busy"), { retryAfterMs: 3_600_000 }));
    expect(breaker.snapshot().openForMs).toBe(60_000);
    const deaf = open({ maxRetryAfter: 0 });
    await fail(deaf, Object.assign(new Error("busy"), { retryAfterMs: 30_000 }));
    await fail(deaf);
    expect(deaf.snapshot().openForMs).toBe(10_000);
  });

  it("needs as many probes to succeed as it is told, with no more than these at a time", async () => {
    const breaker = open({ probes: 3 });
    await trip(breaker);
    await clock.advance("10s");
    const probes = [hanging(breaker), hanging(breaker), hanging(breaker)];
    expect(isRefused(await succeed(breaker))).toBe(true);
    probes[0]!.succeed();
    await probes[0]!.ended;
    expect(breaker.snapshot()).toMatchObject({ state: "half-open", probing: 2, probed: 1 });
    expect(isRefused(await succeed(breaker))).toBe(true);
    for (const probe of probes) probe.succeed();
    await Promise.all(probes.map(({ ended }) => ended));
    expect(breaker.state).toBe("closed");
  });

  it("lets the load come back slowly when it is told to, and refuses the rest for the time being", async () => {
    const breaker = open({ rampUp: { over: "10s", from: 0.2 } });
    await trip(breaker);
    await clock.advance("10s");
    await succeed(breaker);
    const shares: number[] = [];
    for (let second = 0; second < 10; second += 1) {
      let passed = 0;
      for (let call = 0; call < 400; call += 1) if (!isRefused(await succeed(breaker))) passed += 1;
      shares.push(passed / 400);
      expect(breaker.state).toBe("closed");
      await clock.advance("1s");
    }
    for (const [second, share] of shares.entries()) expect(share).toBeCloseTo(0.2 + 0.08 * second, 0.8);
    expect(breaker.snapshot().admits).toBe(1);
    for (let call = 0; call < 100; call += 1) expect(await succeed(breaker)).toBe("fine");
  });

  it("counts slow calls against the callee when the rule says so, also as probes", async () => {
    const breaker = open({
      trip: countWindow({ size: 4, slowRate: 0.5, minCalls: 4 }),
      slowCall: "1s",
    });
    const slowly = (ms: number) => breaker.run(() => clock.sleep(ms));
    for (const ms of [10, 1_000, 10, 1_000]) {
      const call = slowly(ms);
      await clock.advance(ms);
      await call;
    }
    expect(breaker.state).toBe("open");
    await clock.advance("10s");
    const probe = slowly(1_000);
    await clock.advance("1s");
    await probe;
    expect(breaker.state).toBe("open");
  });

  it("judges results and errors by the rules it is given; a rule that throws counts against the callee", async () => {
    const breaker = open({
      isFailure: (error) => error.message !== "not found",
      isFailureResult: (value) => value === 503,
    });
    await fail(breaker, new Error("not found"));
    await fail(breaker, new Error("not found"));
    expect(breaker.state).toBe("closed");
    expect(await breaker.run(() => 503)).toBe(503);
    await breaker.run(() => 503);
    expect(breaker.state).toBe("open");
    const broken = open({
      isFailure: () => {
        throw new Error("bug");
      },
    });
    await trip(broken);
    expect(broken.state).toBe("open");
  });

  it("does not count mistakes of the caller and refusals of other breakers", async () => {
    const breaker = open();
    const inner = open();
    await trip(inner);
    for (let call = 0; call < 5; call += 1) await breaker.run(() => inner.run(() => 1)).catch(() => {});
    await fail(breaker, new InvalidOptionError("x", "y", 1, "z"));
    await fail(breaker, new InvalidOptionError("x", "y", 1, "z"));
    expect(breaker.state).toBe("closed");
  });

  it("refuses nothing while it is not enforced, and tells what it would have done", async () => {
    const events: CircuitRefusedEvent[] = [];
    const stop = channel<CircuitRefusedEvent>("breaker", "refused").subscribe((event) => events.push(event));
    const switched = { on: false };
    const breaker = open({ enforce: () => switched.on });
    await trip(breaker);
    expect(await succeed(breaker)).toBe("fine");
    expect(breaker.state).toBe("open");
    switched.on = true;
    expect(isRefused(await succeed(breaker))).toBe(true);
    stop();
    expect(events.map(({ enforced }) => enforced)).toEqual([false, true]);
  });

  it("answers a refusal as a value where that is wished", async () => {
    const breaker = open();
    expect(await breaker.tryRun(() => 5)).toEqual({ admitted: true, value: 5 });
    await trip(breaker);
    expect(await breaker.tryRun(() => 5)).toEqual({ admitted: false, state: "open", retryAfterMs: 10_000 });
  });

  it("judges calls that are no promise by what it is told of them, once", async () => {
    const breaker = open();
    const permit = breaker.acquire() as Permit;
    permit.fail(down);
    permit.fail(down);
    permit.succeed();
    expect(breaker.state).toBe("closed");
    (breaker.acquire() as Permit).forget();
    (breaker.acquire() as Permit).fail(down);
    expect(breaker.state).toBe("open");
    expect(breaker.acquire()).toEqual({ admitted: false, state: "open", retryAfterMs: 10_000 });
    await clock.advance("10s");
    const probe = breaker.acquire() as Permit;
    expect(breaker.acquire()).toMatchObject({ admitted: false, state: "half-open" });
    probe.forget();
    (breaker.acquire() as Permit).succeed();
    expect(breaker.state).toBe("closed");
  });

  it("is held open by hand until all who hold it let go, and then probes", async () => {
    const breaker = open();
    const [one, two] = [breaker.isolate(), breaker.isolate()];
    expect(breaker.state).toBe("isolated");
    expect(await succeed(breaker)).toMatchObject({ code: "CIRCUIT_OPEN", state: "isolated" });
    one();
    one();
    expect(breaker.state).toBe("isolated");
    two();
    expect(breaker.state).toBe("half-open");
    expect(await succeed(breaker)).toBe("fine");
    expect(breaker.state).toBe("closed");
    breaker.isolate();
    breaker.reset();
    const held = breaker.isolate();
    two();
    expect(breaker.state).toBe("isolated");
    held();
  });

  it("takes over what another has seen, from plain JSON", async () => {
    const breaker = open();
    await trip(breaker);
    await clock.advance("4s");
    const saved = JSON.parse(JSON.stringify(breaker.snapshot())) as ReturnType<CircuitBreaker["snapshot"]>;
    const other = open();
    other.restore(saved);
    expect(other.snapshot()).toMatchObject({ state: "open", openForMs: 6_000, opens: 1 });
    await clock.advance("6s");
    expect(other.state).toBe("half-open");
    expect(() => other.restore({ state: "ajar" as never, opens: 1 })).toThrow(/state/);
    other.restore({ state: "closed", opens: 0 });
    expect(other.state).toBe("closed");
  });

  it("tells of every change, in order, and what made it trip", async () => {
    const events: CircuitStateEvent[] = [];
    const breaker = open({ name: "db", onStateChange: (event) => events.push(event) });
    await trip(breaker);
    await clock.advance("10s");
    await fail(breaker);
    await clock.advance("10s");
    await succeed(breaker);
    expect(events.map(({ from, to, reason }) => `${from} → ${to}: ${reason}`)).toEqual([
      "closed → open: tripped",
      "open → half-open: open_time_over",
      "half-open → open: probe_failed",
      "open → half-open: open_time_over",
      "half-open → closed: probes_succeeded",
    ]);
    expect(events[0]).toMatchObject({ breaker: "db", error: down, openForMs: 10_000, generation: 1 });
  });

  it("describes itself, and refuses options out of range", () => {
    expect(open({ trip: timeWindow() }).describe()).toEqual({
      kind: "circuit-breaker",
      name: "circuit-breaker",
      summary: "opens for 10s when 50% of at least 20 calls fail within 10s",
    });
    expect(() => open({ probes: 0 })).toThrow(/probes/);
    expect(() => open({ openFor: { initial: "2s", max: "1s" } })).toThrow(/openFor\.max/);
    expect(() => open({ trip: {} as never })).toThrow(/trip/);
    expect(() => open({ trip: timeWindow({ slowRate: 0.5 }) })).toThrow(/slowCall/);
    expect(() => open({ rampUp: { over: 0 } })).toThrow(/rampUp\.over/);
    expect(() => countWindow({ size: 10, minCalls: 11 })).toThrow(/minCalls/);
    expect(() => timeWindow({ failureRate: 0 })).toThrow(/failureRate/);
  });
});

describe("circuitBreaker, regressions of other libraries", () => {
  it("[bug 1] a time window forgets idle hours: four failures, an hour, one failure is no reason to open", async () => {
    const breaker = open({ trip: timeWindow({ window: "10s", failureRate: 0.5, minCalls: 5 }) });
    for (let call = 0; call < 4; call += 1) await fail(breaker);
    await clock.advance("1h");
    await fail(breaker);
    expect(breaker.state).toBe("closed");
    expect(breaker.snapshot().counts).toEqual({ calls: 1, failures: 1, slow: 0 });
  });

  it("[bug 5] a throwing observer neither repeats nor changes a call", async () => {
    const stop = channel<CircuitStateEvent>("breaker", "state").subscribe(() => {
      throw new Error("subscriber");
    });
    let calls = 0;
    const breaker = open({
      onStateChange: () => {
        throw new Error("listener");
      },
    });
    await trip(breaker);
    await clock.advance("10s");
    expect(await breaker.run(() => (calls += 1))).toBe(1);
    stop();
    expect([calls, breaker.state]).toEqual([1, "closed"]);
  });

  it("[bugs 6, 7] (survival row 24) a hung probe parks nobody: others are refused at once, and its slot is free at its deadline", async () => {
    const breaker = open({ probeDeadline: "5s" });
    await trip(breaker);
    await clock.advance("10s");
    const hung = hanging(breaker);
    const others = await Promise.all(Array.from({ length: 500 }, () => succeed(breaker)));
    expect(others.every(isRefused)).toBe(true);
    expect(others[0]).toMatchObject({ state: "half-open", retryAfterMs: 5_000 });
    await clock.advance("5s");
    expect(isRefused(await succeed(breaker))).toBe(true);
    expect(breaker.state).toBe("open");
    await clock.advance("10s");
    expect(await succeed(breaker)).toBe("fine");
    hung.fail();
    await hung.ended;
    expect(breaker.state).toBe("closed");
  });

  it("[bug 8] a call from before the trip does not close what opened meanwhile, nor fail the next generation", async () => {
    const breaker = open();
    const [early, late] = [hanging(breaker), hanging(breaker)];
    await trip(breaker);
    early.succeed();
    await early.ended;
    expect(breaker.state).toBe("open");
    await clock.advance("10s");
    await succeed(breaker);
    late.fail();
    await late.ended;
    expect(breaker.snapshot()).toMatchObject({ state: "closed", counts: { failures: 0 } });
  });

  it("[bugs 9, 10] a caller's abort counts as nothing, with the caller's own reason; an aborted probe frees its place", async () => {
    const breaker = open();
    for (let call = 0; call < 10; call += 1) {
      const stop = new AbortController();
      const aborted = hanging(breaker, stop.signal);
      stop.abort("enough");
      aborted.fail();
      expect(await aborted.ended).toBe("enough");
    }
    expect(breaker.snapshot().counts.failures).toBe(0);
    await trip(breaker);
    await clock.advance("10s");
    const stop = new AbortController();
    const probe = hanging(breaker, stop.signal);
    stop.abort("enough");
    probe.fail();
    await probe.ended;
    expect(breaker.state).toBe("half-open");
    expect(await succeed(breaker)).toBe("fine");
    await expect(breaker.run(() => 1, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
  });

  it("[bug 12] a wall clock that jumps an hour either way changes no open time and no window", async () => {
    const breaker = open({ trip: timeWindow({ window: "10s", minCalls: 2 }) });
    clock.jumpWallClock(-3_600_000);
    await trip(breaker);
    clock.jumpWallClock(7_200_000);
    expect(breaker.snapshot().openForMs).toBe(10_000);
    await clock.advance("10s");
    expect(breaker.state).toBe("half-open");
  });

  it("[bugs 15, 17, 18] has no timer that could outlive it, or be re-armed by failures that come at a time", async () => {
    const check = leakCheck({ clocks: [clock] });
    const breaker = open();
    await Promise.all(Array.from({ length: 50 }, () => fail(breaker)));
    expect(breaker.snapshot()).toMatchObject({ state: "open", openForMs: 10_000, opens: 1 });
    check.assertNone();
    await clock.advance("10s");
    expect(breaker.state).toBe("half-open");
  });

  it("[bug 19] leaves no listener on a long-lived signal", async () => {
    const stop = new AbortController();
    const check = leakCheck({ signals: [stop.signal] });
    const breaker = open();
    for (let call = 0; call < 100; call += 1) await breaker.run(() => call, { signal: stop.signal });
    check.assertNone();
  });

  it("[bug 26] can be used from within its own task and its own listener", async () => {
    const seen: string[] = [];
    const breaker: CircuitBreaker = open({ onStateChange: () => seen.push(breaker.state) });
    expect(await breaker.run(() => breaker.run(() => "inner"))).toBe("inner");
    await trip(breaker);
    expect(seen).toEqual(["open"]);
  });

  it("[bug 27] a window smaller than its least calls is refused when it is made", () => {
    expect(() => countWindow({ size: 5, minCalls: 10 })).toThrow(/minCalls/);
    expect(countWindow({ size: 5 }).summary).toBe("50% of at least 5 calls fail, of the latest 5");
  });

  it("(survival row 25) a call that outlives several changes of state judges none of them", async () => {
    const breaker = open();
    const old = hanging(breaker);
    for (let times = 0; times < 3; times += 1) {
      await trip(breaker);
      await clock.advance(breaker.snapshot().openForMs ?? 0);
      await succeed(breaker);
    }
    await fail(breaker);
    const before = breaker.snapshot();
    old.fail();
    await old.ended;
    expect(breaker.snapshot()).toEqual(before);
  });

  it("works inside a pipeline: refusals are not retried in vain, timeouts inside it count", async () => {
    const breaker = open();
    const guarded = pipeline(
      retry({ attempts: 5, clock, retryOn: (error) => !hasCode(error, "CIRCUIT_OPEN") }),
      breaker,
      timeout("1s", { clock }),
    );
    let calls = 0;
    const outcome = guarded
      .run(() => {
        calls += 1;
        return new Promise(() => {});
      })
      .catch((error: unknown) => error);
    for (let second = 0; second < 60; second += 1) await clock.advance("1s");
    expect(isRefused(await outcome)).toBe(true);
    expect(calls).toBe(2);
  });
});
