import { channel } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import type { RateLimitWaitedEvent } from "@holdfast/ratelimit";
import { concurrency, leakyQueue, rateLimiter, tokenBucket } from "@holdfast/ratelimit";
import { beforeEach, describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

let clock: ManualClock;
beforeEach(() => {
  clock = manualClock();
});

/** One a second, with one at once. */
const slow = (options: { readonly maxWaiting?: number } = {}) =>
  rateLimiter({ clock, limits: tokenBucket({ capacity: 1, refill: 1, per: "1s" }), ...options });

/** Notes when each has its turn. */
function note(log: string[], name: string, wait: Promise<unknown>): void {
  void wait.then(
    () => log.push(`${name}@${clock.monotonic()}`),
    (error: { readonly code?: string; readonly message?: string }) =>
      log.push(`${name}: ${error.code ?? error.message}`),
  );
}

describe("acquire", () => {
  it("lets those who wait through in order, each as soon as it can", async () => {
    const limiter = slow();
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) note(log, name, limiter.acquire("k"));
    await clock.advance("10s");
    expect(log).toEqual(["a@0", "b@1000", "c@2000"]);
    expect(clock.pendingTimers).toBe(0);
    expect(limiter.snapshot().waiting).toBe(0);
  });

  it("lets those who wait for other keys pass", async () => {
    const limiter = slow();
    const log: string[] = [];
    for (const name of ["a", "a2"]) note(log, name, limiter.acquire("a"));
    note(log, "b", limiter.acquire("b"));
    await clock.advance("1s");
    expect(log).toEqual(["a@0", "b@0", "a2@1000"]);
  });

  it("leaves at once when its signal aborts, and the next has its turn", async () => {
    const limiter = slow();
    const log: string[] = [];
    const stop = new AbortController();
    note(log, "a", limiter.acquire("k"));
    note(log, "b", limiter.acquire("k", { signal: stop.signal }));
    note(log, "c", limiter.acquire("k"));
    await clock.advance(500);
    stop.abort(new Error("left"));
    await clock.advance(0);
    expect(log).toEqual(["a@0", "b: left"]);
    await clock.advance("10s");
    expect(log).toEqual(["a@0", "b: left", "c@1000"]);
    await expect(limiter.acquire("k", { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
  });

  it("rejects at once whoever would wait beyond the deadline", async () => {
    const limiter = slow();
    limiter.tryTake("k");
    await expect(limiter.acquire("k", { deadline: 1_000 })).rejects.toMatchObject({
      code: "RATE_LIMITED",
      retryAfterMs: 1_000,
      limit: "token-bucket",
    });
    const log: string[] = [];
    note(log, "in time", limiter.acquire("k", { deadline: 1_001 }));
    await clock.advance("1s");
    expect(log).toEqual(["in time@1000"]);
  });

  it("rejects whoever has not had its turn when the deadline passes", async () => {
    const limiter = slow();
    const log: string[] = [];
    for (const name of ["a", "b", "c", "d"]) note(log, name, limiter.acquire("k", { deadline: "1500ms" }));
    await clock.advance("10s");
    // Once b is through, c is first, and knows that a whole second is too long.
    expect(log).toEqual(["a@0", "b@1000", "c: RATE_LIMITED", "d: RATE_LIMITED"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses more than may wait", async () => {
    const limiter = slow({ maxWaiting: 2 });
    limiter.tryTake("k");
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) note(log, name, limiter.acquire("k"));
    await clock.advance(0);
    expect(log).toEqual(["c: RATE_LIMIT_QUEUE_FULL"]);
    await clock.advance("2s");
    expect(log.slice(1)).toEqual(["a@1000", "b@2000"]);
  });

  it("goes round the tenants, whoever has asked how often", async () => {
    const limiter = slow();
    limiter.tryTake("k");
    const log: string[] = [];
    for (let index = 0; index < 6; index += 1)
      note(log, `greedy${index}`, limiter.acquire("k", { tenant: "greedy" }));
    for (let index = 0; index < 2; index += 1)
      note(log, `modest${index}`, limiter.acquire("k", { tenant: "modest" }));
    await clock.advance("8s");
    expect(log.map((line) => line.split("@")[0])).toEqual([
      "greedy0",
      "modest0",
      "greedy1",
      "modest1",
      "greedy2",
      "greedy3",
      "greedy4",
      "greedy5",
    ]);
  });

  it("shares by weight, and by what each asks for", async () => {
    const limiter = rateLimiter({
      clock,
      limits: tokenBucket({ capacity: 4, refill: 4, per: "1s" }),
      maxWait: "10m",
    });
    limiter.tryTake("k", { cost: 4 });
    const served = { heavy: 0, light: 0, dear: 0 };
    const closed = (): void => {};
    for (let index = 0; index < 60; index += 1) {
      void limiter.acquire("k", { tenant: "heavy", weight: 3 }).then(() => (served.heavy += 1), closed);
      void limiter.acquire("k", { tenant: "light", weight: 1 }).then(() => (served.light += 1), closed);
      void limiter
        .acquire("k", { tenant: "dear", weight: 1, cost: 4 })
        .then(() => (served.dear += 4), closed);
    }
    await clock.advance("20s");
    expect(served.heavy + served.light + served.dear).toBe(80);
    // 3 : 1 : 1 of 80.
    expect(served.heavy).toBeGreaterThanOrEqual(44);
    expect(served.heavy).toBeLessThanOrEqual(52);
    expect(Math.abs(served.light - served.dear)).toBeLessThanOrEqual(8);
    await limiter.close();
  });

  it("wakes whoever is first when something is given back, reset or unblocked", async () => {
    const limiter = slow();
    const log: string[] = [];
    const taken = limiter.tryTake("k");
    note(log, "refunded", limiter.acquire("k"));
    await clock.advance(100);
    await limiter.refund("k", taken);
    await clock.advance(0);
    note(log, "reset", limiter.acquire("k"));
    await clock.advance(100);
    await limiter.reset("k");
    await clock.advance(0);
    expect(log).toEqual(["refunded@100", "reset@200"]);
  });

  it("hands places of a concurrency limit on as they come free", async () => {
    const limiter = rateLimiter({ clock, limits: concurrency({ limit: 2 }) });
    let running = 0;
    let most = 0;
    const policy = limiter.for("k", { wait: true });
    const runs = Array.from({ length: 10 }, () =>
      policy.run(async () => {
        running += 1;
        most = Math.max(most, running);
        await clock.sleep(100);
        running -= 1;
      }),
    );
    await clock.advance("1s");
    await Promise.all(runs);
    expect([most, running]).toEqual([2, 0]);
  });

  it("rejects those who wait when it is closed, and tells how each wait has ended", async () => {
    const events: RateLimitWaitedEvent[] = [];
    const stop = channel<RateLimitWaitedEvent>("ratelimit", "waited").subscribe((event) =>
      events.push(event),
    );
    const limiter = slow();
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) note(log, name, limiter.acquire("k"));
    await clock.advance("1s");
    await limiter.close();
    await clock.advance(0);
    stop();
    expect(log).toEqual(["a@0", "b@1000", "c: CLOSED"]);
    expect(events.map(({ outcome, waitedMs }) => [outcome, waitedMs])).toEqual([
      ["allowed", 1_000],
      ["closed", 1_000],
    ]);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("leakyQueue", () => {
  it(row(69, "holds a fixed number, drains at a constant rate, and rejects when it is full"), async () => {
    const queue = leakyQueue({ clock, capacity: 3, drain: 2, per: "1s" });
    const log: string[] = [];
    for (const name of ["a", "b", "c", "d", "e"])
      note(
        log,
        name,
        queue.run(() => name),
      );
    await clock.advance(0);
    expect(log).toEqual(["a@0", "e: RATE_LIMIT_QUEUE_FULL"]);
    expect(queue.waiting).toBe(3);
    await clock.advance("5s");
    expect(log.slice(2)).toEqual(["b@500", "c@1000", "d@1500"]);
    // No burst after a pause either.
    await clock.advance("1m");
    for (const name of ["f", "g"])
      note(
        log,
        name,
        queue.run(() => name),
      );
    await clock.advance("1s");
    expect(log.slice(5)).toEqual(["f@65000", "g@65500"]);
  });

  it("frees a place at once when its caller leaves, and the others move up", async () => {
    const queue = leakyQueue({ clock, capacity: 2, drain: 1, per: "1s" });
    const log: string[] = [];
    const stop = new AbortController();
    note(
      log,
      "a",
      queue.run(() => 1),
    );
    note(
      log,
      "b",
      queue.run(() => 1, { signal: stop.signal }),
    );
    note(
      log,
      "c",
      queue.run(() => 1),
    );
    await clock.advance(100);
    stop.abort(new Error("left"));
    await clock.advance(0);
    note(
      log,
      "d",
      queue.run(() => 1),
    );
    await clock.advance("5s");
    expect(log).toEqual(["a@0", "b: left", "c@1000", "d@2000"]);
    await queue.close();
  });
});
