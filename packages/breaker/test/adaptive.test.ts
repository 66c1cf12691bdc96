import type { AdaptiveConcurrency, AdaptiveConcurrencyOptions, LimitSample } from "@holdfast/breaker";
import { adaptiveConcurrency, aimd, circuitBreaker, gradient2 } from "@holdfast/breaker";
import { pipeline, TimeoutError } from "@holdfast/core";
import { leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const clock = manualClock();
const bounds = { min: 1, max: 200, initial: 20 };

const sample = (given: Partial<LimitSample> = {}): LimitSample => ({
  rttMs: 10,
  inFlight: 1_000,
  dropped: false,
  ...given,
});

describe("aimd", () => {
  it("grows by one for each call that goes well, shrinks by a tenth for each that is dropped", () => {
    const limit = aimd().start(bounds);
    expect(limit.update(sample())).toBe(21);
    expect(limit.update(sample({ dropped: true }))).toBeCloseTo(18.9);
  });

  it("does not grow when less than half of it is used", () => {
    const limit = aimd().start(bounds);
    for (let call = 0; call < 100; call += 1) limit.update(sample({ inFlight: 9 }));
    expect(limit.update(sample({ inFlight: 9 }))).toBe(20);
  });

  it("takes a call that is slower than it may be for dropped", () => {
    expect(
      aimd({ maxRttMs: 100 })
        .start(bounds)
        .update(sample({ rttMs: 101 })),
    ).toBe(18);
  });

  it("stays within floor and ceiling", () => {
    const limit = aimd().start({ min: 5, max: 30, initial: 10 });
    for (let call = 0; call < 100; call += 1) limit.update(sample());
    expect(limit.update(sample())).toBe(30);
    for (let call = 0; call < 100; call += 1) limit.update(sample({ dropped: true }));
    expect(limit.update(sample({ dropped: true }))).toBe(5);
  });
});

describe("gradient2", () => {
  it("grows while calls are as fast as usual, by the published steps", () => {
    const limit = gradient2().start(bounds);
    // 20 × 0.8 + (20 × 1 + 4) × 0.2
    expect(limit.update(sample())).toBeCloseTo(20.8);
  });

  it("shrinks when calls get slower than the tolerance, at most to half at once before smoothing", () => {
    const limit = gradient2().start({ min: 1, max: 200, initial: 100 });
    for (let call = 0; call < 20; call += 1) limit.update(sample({ inFlight: 1 }));
    // Ten times as slow: gradient 0.5; 100 × 0.8 + (50 + 4) × 0.2
    expect(limit.update(sample({ rttMs: 100 }))).toBeCloseTo(90.8);
  });

  it("[bug 24] does not grow when it is idle, however well calls go", () => {
    const limit = gradient2().start(bounds);
    for (let call = 0; call < 1_000; call += 1) limit.update(sample({ inFlight: 2 }));
    expect(limit.update(sample({ inFlight: 2 }))).toBe(20);
  });

  it("[bug 24] its idea of usual does not drift into a long incident", () => {
    const limit = gradient2().start(bounds);
    for (let call = 0; call < 1_000; call += 1) limit.update(sample());
    const before = limit.state()["usualMs"]!;
    for (let call = 0; call < 50_000; call += 1) limit.update(sample({ rttMs: 500 }));
    expect(limit.state()["usualMs"]).toBeLessThan(before * 10);
    expect(limit.update(sample({ rttMs: 500 }))).toBeLessThan(10);
    for (let call = 0; call < 300; call += 1) limit.update(sample({ rttMs: 10 }));
    expect(limit.update(sample())).toBeGreaterThan(50);
  });

  it("learns a change that lasts while it is little used: then its own load is not the cause", () => {
    const limit = gradient2({ window: 10 }).start(bounds);
    for (let call = 0; call < 100; call += 1) limit.update(sample({ inFlight: 0 }));
    for (let call = 0; call < 20_000; call += 1) limit.update(sample({ rttMs: 40, inFlight: 1 }));
    expect(limit.state()["usualMs"]).toBeGreaterThan(30);
  });

  it.each([0, 0.1, 0.3, 0.6])(
    "[bug 24] stays near what the callee can take when all of it is wanted, with noise of %d",
    (noise) => {
      // 50 calls at a time take 10 ms each; more of them queue. An average that follows the queue ends at the ceiling.
      const random = seededRandom(7);
      const limit = gradient2().start({ ...bounds, max: 1_000 });
      let now = 20;
      for (let call = 0; call < 50_000; call += 1) {
        const queued = Math.max(1, Math.floor(now) / 50);
        const rttMs = 10 * queued * (1 + noise * (2 * random() - 1));
        now = limit.update(sample({ rttMs, inFlight: Math.floor(now) }));
      }
      expect(limit.state()["usualMs"]).toBeLessThan(12);
      expect(now).toBeGreaterThan(35);
      expect(now).toBeLessThan(120);
    },
  );

  it("[bug 24] is led neither by a share of fast answers nor by fast calls at the start", () => {
    const limit = gradient2().start(bounds);
    for (let call = 0; call < 10; call += 1) limit.update(sample({ rttMs: 1 }));
    for (let call = 0; call < 20_000; call += 1) limit.update(sample({ rttMs: call % 5 === 0 ? 0.1 : 10 }));
    expect(limit.state()["usualMs"]).toBeGreaterThan(5);
    expect(limit.update(sample())).toBeGreaterThan(35);
  });

  it("[bug 24] learns nothing from calls that were turned away, but lowers the limit", () => {
    const limit = gradient2().start(bounds);
    for (let call = 0; call < 50; call += 1) limit.update(sample());
    const { usualMs } = limit.state();
    const before = limit.update(sample());
    const after = limit.update(sample({ rttMs: 0.1, dropped: true }));
    expect(after).toBeCloseTo(before * 0.9);
    expect(limit.state()["usualMs"]).toBeCloseTo(usualMs!);
  });

  it("stays a number within its bounds for any samples", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            rttMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })),
            inFlight: fc.nat(1_000),
            dropped: fc.boolean(),
          }),
          { maxLength: 200 },
        ),
        fc.constantFrom(gradient2(), aimd()),
        (samples, algorithm) => {
          const limit = algorithm.start({ min: 2, max: 50, initial: 10 });
          for (const one of samples) {
            const value = limit.update(one);
            expect(value >= 2 && value <= 50).toBe(true);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("adaptiveConcurrency", () => {
  function open(options: AdaptiveConcurrencyOptions = {}): AdaptiveConcurrency {
    return adaptiveConcurrency({ algorithm: aimd(), initial: 2, min: 1, max: 10, clock, ...options });
  }

  const ok = (guard: AdaptiveConcurrency, ms = 10): Promise<unknown> => guard.run(() => clock.sleep(ms));
  const code = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => "fine",
      (error: unknown) => (error as { code?: unknown }).code ?? error,
    );

  it("lets as many run as the limit says, and grows while they go well", async () => {
    const guard = open();
    const calls = [ok(guard), ok(guard)];
    expect(await code(ok(guard))).toBe("BULKHEAD_FULL");
    await clock.advance(10);
    await Promise.all(calls);
    expect(guard.limit).toBe(4);
    expect(guard.snapshot()).toMatchObject({
      kind: "adaptive-limit",
      algorithm: "aimd",
      limit: 4,
      running: 0,
    });
  });

  it("shrinks for timeouts and refusals of the callee, not for other failures, and not for a caller's abort", async () => {
    const guard = open({ initial: 10 });
    const fail = (error: unknown): Promise<unknown> =>
      code(
        guard.run(() => {
          throw error;
        }),
      );
    await fail(new Error("bug"));
    await fail(Object.assign(new Error("not found"), { status: 404 }));
    const stop = new AbortController();
    const aborted = guard.run(
      ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
      { signal: stop.signal },
    );
    stop.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    expect(guard.limit).toBe(10);
    await fail(new TimeoutError("db", 100));
    expect(guard.limit).toBe(9);
    await fail(Object.assign(new Error("busy"), { status: 503 }));
    expect(guard.limit).toBe(8);
  });

  it("learns nothing from what a policy further in refuses: the callee has not seen it", async () => {
    const guard = open({ initial: 10 });
    const breaker = circuitBreaker({ clock });
    breaker.isolate();
    for (let each = 0; each < 20; each += 1)
      expect(await code(pipeline(guard, breaker).run(() => 1))).toBe("CIRCUIT_OPEN");
    expect(guard.limit).toBe(10);
  });

  it("[bug 24] does not learn from health checks when it is told which calls these are", async () => {
    const guard = open({ learnsFrom: ({ idempotencyKey }) => idempotencyKey !== "health" });
    for (let call = 0; call < 10; call += 1) await guard.run(() => 1, { idempotencyKey: "health" });
    expect(guard.limit).toBe(2);
    await guard.run(() => 1);
    expect(guard.limit).toBe(3);
  });

  it("lets those who wait go in order, also when the limit has grown", async () => {
    const guard = open({ initial: 1, queue: 10 });
    const log: number[] = [];
    const calls = [0, 1, 2, 3].map((n) => guard.run(() => (log.push(n), clock.sleep(10))));
    expect([guard.running, guard.waiting]).toEqual([1, 3]);
    await clock.advance(10);
    expect(log).toEqual([0, 1, 2]);
    await clock.advance(10);
    await clock.advance(10);
    await Promise.all(calls);
    expect(log).toEqual([0, 1, 2, 3]);
  });

  it("gives a partition its share while others fill the limit, and what they leave", async () => {
    const guard = adaptiveConcurrency({
      algorithm: aimd(),
      initial: 10,
      min: 10,
      max: 10,
      partitions: { live: 0.3, batch: 0.2 },
      partition: ({ idempotencyKey }) => idempotencyKey,
      clock,
    });
    const call = (key: string): Promise<unknown> =>
      code(guard.run(() => clock.sleep(10), { idempotencyKey: key }));
    const batch = Array.from({ length: 12 }, () => call("batch"));
    expect(guard.running).toBe(10);
    const live = Array.from({ length: 4 }, () => call("live"));
    expect(guard.running).toBe(13);
    await clock.advance(10);
    expect((await Promise.all(batch)).filter((outcome) => outcome === "BULKHEAD_FULL")).toHaveLength(2);
    expect((await Promise.all(live)).filter((outcome) => outcome === "BULKHEAD_FULL")).toHaveLength(1);
    expect(guard.running).toBe(0);
  });

  it("gives what partitions leave to all who wait in turn: nobody starves behind a busy partition", async () => {
    const guard = adaptiveConcurrency({
      algorithm: aimd(),
      initial: 2,
      min: 2,
      max: 2,
      queue: 100,
      partitions: { live: 0.5 },
      partition: ({ idempotencyKey }) => idempotencyKey,
      clock,
    });
    const log: string[] = [];
    const call = (key?: string): void => {
      void guard.run(() => (log.push(key ?? "other"), clock.sleep(10)), { idempotencyKey: key });
    };
    for (let each = 0; each < 10; each += 1) call("live");
    for (let each = 0; each < 3; each += 1) call();
    for (let turn = 0; turn < 7; turn += 1) await clock.advance(10);
    expect(log.filter((key) => key === "other")).toHaveLength(3);
    expect(log.indexOf("other")).toBeLessThan(5);
    expect([guard.running, guard.waiting]).toEqual([0, 0]);
  });

  it("gives a partition below its share the next slot, when the limit has grown", async () => {
    const guard = open({
      initial: 2,
      queue: 10,
      partitions: { batch: 0, live: 0.5 },
      partition: ({ idempotencyKey }) => idempotencyKey,
    });
    const log: string[] = [];
    const call = (key: string, ms: number): void => {
      void guard.run(() => (log.push(key), clock.sleep(ms)), { idempotencyKey: key });
    };
    call("batch", 10);
    call("batch", 100);
    call("live", 100);
    call("batch", 100);
    call("live", 100);
    expect(log).toEqual(["batch", "batch", "live"]);
    await clock.advance(10);
    expect(guard.limit).toBe(3);
    expect(log).toEqual(["batch", "batch", "live", "live"]);
    await clock.advance(300);
    expect([guard.running, guard.waiting]).toEqual([0, 0]);
  });

  it("[bug 2] lets no newcomer pass those who wait while several of them are being started", async () => {
    const guard = open({ initial: 1, queue: 10 });
    const log: string[] = [];
    const call = (name: string, also?: string): void => {
      void guard.run(() => {
        log.push(name);
        if (also !== undefined) call(also);
        return clock.sleep(10);
      });
    };
    call("first");
    call("second", "newcomer");
    call("third");
    await clock.advance(10);
    expect(log).toEqual(["first", "second", "third"]);
    await clock.advance(10);
    expect(log).toEqual(["first", "second", "third", "newcomer"]);
    await clock.advance(10);
  });

  it("leaves nothing behind, and refuses bad options", async () => {
    const check = leakCheck({ clocks: [clock] });
    await open().run(() => 1);
    check.assertNone();
    expect(() => open({ min: 5, max: 4 })).toThrow(/max/);
    expect(() => open({ initial: 11 })).toThrow(/initial/);
    expect(() => open({ partitions: { a: 0.6, b: 0.6 } })).toThrow(/partitions/);
    expect(() => open({ algorithm: {} as never })).toThrow(/algorithm/);
    expect(() => gradient2({ tolerance: 0.5 })).toThrow(/tolerance/);
    expect(() => aimd({ backoff: 1 })).toThrow(/backoff/);
    expect(open().describe().summary).toBe("as many at a time as aimd finds, now 2");
  });
});
