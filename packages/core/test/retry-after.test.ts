import {
  channel,
  constant,
  exponential,
  retry,
  retryAfterOf,
  seededRandom,
  StoreUnavailableError,
  timeout,
} from "@holdfast/core";
import type { RetryEvent, RetryExhaustedEvent, RetryOptions } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

const NOW = Date.UTC(2026, 10, 20, 12, 0, 0);

function answer(headers: Record<string, string>): Response {
  return new Response(null, { status: 503, headers });
}

describe("retryAfterOf", () => {
  it.each([
    ["seconds", answer({ "retry-after": "120" }), 120_000],
    ["zero", answer({ "retry-after": "0" }), 0],
    ["milliseconds of an AI provider", answer({ "retry-after-ms": "1500", "retry-after": "2" }), 1_500],
    ["an HTTP date", answer({ "retry-after": "Fri, 20 Nov 2026 12:00:30 GMT" }), 30_000],
    ["an HTTP date of RFC 850", answer({ "retry-after": "Friday, 20-Nov-26 12:00:30 GMT" }), 30_000],
    ["a date in the past", answer({ "retry-after": "Fri, 20 Nov 2026 11:00:00 GMT" }), 0],
    ["our own errors", new StoreUnavailableError("redis", "loading", { retryAfterMs: 250 }), 250],
    ["a refusal that is a value", { allowed: false, retryAfterMs: 40 }, 40],
    [
      "an error's response",
      Object.assign(new Error("503"), { response: answer({ "retry-after": "3" }) }),
      3_000,
    ],
    [
      "an error's cause",
      new Error("outer", { cause: new StoreUnavailableError("x", "y", { retryAfterMs: 7 }) }),
      7,
    ],
    [
      "a cause's response",
      new Error("outer", { cause: { response: answer({ "retry-after": "1" }) } }),
      1_000,
    ],
    ["an absurdly large number", answer({ "retry-after": "9".repeat(400) }), 8_640_000_000_000],
  ])("reads %s", (_, failure, expected) => {
    expect(retryAfterOf(failure, NOW)).toBe(expected);
  });

  it("takes a date relative to the answer's own Date header, however wrong the clock here is", () => {
    const failure = answer({
      date: "Mon, 01 Jan 2024 00:00:00 GMT",
      "retry-after": "Mon, 01 Jan 2024 00:00:09 GMT",
    });
    expect(retryAfterOf(failure, NOW)).toBe(9_000);
  });

  it.each([
    ["no header", answer({})],
    ["a negative number", answer({ "retry-after": "-5" })],
    ["a fraction", answer({ "retry-after": "1.5" })],
    ["text", answer({ "retry-after": "soon" })],
    ["an empty header", answer({ "retry-after": "" })],
    ["NaN", { retryAfterMs: NaN }],
    ["a negative field", { retryAfterMs: -1 }],
    ["undefined", undefined],
    ["null", null],
    ["text alone", "503"],
    ["headers without get", { headers: { "retry-after": "5" } }],
    [
      "a throwing getter",
      {
        get retryAfterMs(): number {
          throw new Error("no");
        },
      },
    ],
    ["a revoked proxy", revoked()],
  ])("finds nothing in %s, and does not throw", (_, failure) => {
    expect(retryAfterOf(failure, NOW)).toBeUndefined();
  });

  it("ends on an error that is its own cause", () => {
    const error = new Error("loop");
    error.cause = error;
    expect(retryAfterOf(error, NOW)).toBeUndefined();
  });
});

describe("retry and Retry-After", () => {
  it("[bug 21] never waits less than asked for, and spreads above it", async () => {
    const random = seededRandom(1);
    const waits: number[] = [];
    for (let client = 0; client < 200; client += 1) {
      const { delayMs } = await firstWait(
        { backoff: exponential({ base: "1s" }), random },
        answer({ "retry-after": "5" }),
      );
      waits.push(delayMs);
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(5_000);
    expect(Math.max(...waits)).toBeLessThan(6_000);
    expect(new Set(waits).size).toBeGreaterThan(150);
  });

  it("reads the header of a refused result and of an error alike", async () => {
    const { retryAfterMs } = await firstWait({}, answer({ "retry-after": "2" }));
    expect(retryAfterMs).toBe(2_000);
    const thrown = await firstWait(
      {},
      undefined,
      new StoreUnavailableError("redis", "loading", { retryAfterMs: 70 }),
    );
    expect(thrown).toMatchObject({ retryAfterMs: 70, delayMs: 1_070 });
  });

  it("asks a function of the caller's own instead, or nobody", async () => {
    const own = await firstWait({ retryAfter: () => "3s" }, answer({ "retry-after": "9" }));
    expect(own.retryAfterMs).toBe(3_000);
    const ignored = await firstWait({ retryAfter: false }, answer({ "retry-after": "9" }));
    expect(ignored).not.toHaveProperty("retryAfterMs");
    const broken = await firstWait({ retryAfter: () => Number("not a number") }, answer({}));
    expect(broken.delayMs).toBe(1_000);
  });

  it("fails at once when it is longer than maxRetryAfter, maxElapsed or the deadline around the call", async () => {
    const reasons: string[] = [];
    const stop = channel<RetryExhaustedEvent>("core", "retry_exhausted").subscribe(({ reason }) =>
      reasons.push(reason),
    );
    const clock = manualClock();
    const task = (): Response => answer({ "retry-after": "30" });
    const common = { clock, retryResult: () => true, backoff: constant(0) };
    expect((await retry({ ...common, maxRetryAfter: "29s" }).run(task)).status).toBe(503);
    expect((await retry({ ...common, maxElapsed: "29s" }).run(task)).status).toBe(503);
    const inside = timeout("29s", { clock }).run((context) => retry(common).run(task, context));
    expect((await inside).status).toBe(503);
    expect(clock.pendingTimers).toBe(0);
    expect(reasons).toEqual(["retry_after", "retry_after", "retry_after"]);
    stop();
  });
});

/** What a retry announces after a first try that answered `result` or threw `error`. */
async function firstWait(options: RetryOptions, result: unknown, error?: Error): Promise<RetryEvent> {
  const clock = manualClock(NOW);
  const events: RetryEvent[] = [];
  const policy = retry({
    backoff: constant("1s"),
    retryResult: (value) => value === result,
    onRetry: (event) => events.push(event),
    clock,
    ...options,
  });
  const call = policy.run(({ attempt }) => {
    if (attempt > 1) return "done";
    if (error !== undefined) throw error;
    return result;
  });
  await clock.advance("1m");
  await call;
  return events[0]!;
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
