import type { PipelineWarningEvent, Policy, PolicyDescription } from "@holdfast/core";
import {
  channel,
  constant,
  explainOrder,
  InvalidOptionError,
  pipeline,
  retry,
  timeout,
} from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

/** A policy that records when the work enters and leaves it. */
function tracing(name: string, trace: string[]): Policy {
  return {
    kind: "tracing",
    name,
    run: async (task, options) => {
      trace.push(`> ${name}`);
      const value = await retry({ attempts: 1 }).run(task, options);
      trace.push(`< ${name}`);
      return value;
    },
    snapshot: () => ({ kind: "tracing", name }),
    describe: () => ({ kind: "tracing", name, summary: "traces" }),
  };
}

function layer(kind: string, facts: Partial<PolicyDescription> = {}): PolicyDescription {
  return { kind, name: kind, summary: `does what a ${kind} does`, ...facts };
}

function codes(...layers: PolicyDescription[]): string[] {
  return explainOrder(layers).warnings.map(({ code }) => code);
}

describe("pipeline", () => {
  it("runs the first policy outermost", async () => {
    const trace: string[] = [];
    const value = await pipeline(tracing("a", trace), tracing("b", trace), tracing("c", trace)).run(() => {
      trace.push("task");
      return 7;
    });
    expect(value).toBe(7);
    expect(trace).toEqual(["> a", "> b", "> c", "task", "< c", "< b", "< a"]);
  });

  it("hands each layer's context inwards: attempt, deadline, key and abort reach the task", async () => {
    const clock = manualClock();
    const controller = new AbortController();
    const both = pipeline(
      timeout("10s", { clock }),
      retry({ clock, backoff: constant("1s") }),
      timeout("20s", { clock }),
    );
    const call = both.run(
      (context) => {
        if (context.attempt === 1) throw new Error("1");
        controller.abort("reason");
        return [
          context.attempt,
          context.remainingMs,
          context.idempotencyKey,
          context.signal.reason as unknown,
        ];
      },
      { idempotencyKey: "k", signal: controller.signal },
    );
    const settled = call.catch((error: unknown) => error);
    await clock.advance("1s");
    // Racing timeouts give a caller's abort back at once, as it was.
    expect(await settled).toBe("reason");
    expect(clock.pendingTimers).toBe(0);

    const plain = both.run((context) => [context.attempt, context.remainingMs, context.idempotencyKey], {
      idempotencyKey: "k",
    });
    expect(await plain).toEqual([1, 10_000, "k"]);
  });

  it("[bug 14] a timeout per try and one for the whole call do not abort each other's siblings", async () => {
    const clock = manualClock();
    const shared = pipeline(
      timeout("5s", { clock }),
      retry({ attempts: 5, clock, backoff: constant(0) }),
      timeout("1s", { clock }),
    );
    const slow = shared.run(() => new Promise(() => {})).catch((error: unknown) => error);
    let answer: (value: string) => void = () => {};
    await clock.advance("4500ms");
    const quick = shared.run(() => new Promise<string>((resolve) => (answer = resolve)));
    await clock.advance(500);
    expect(await slow).toMatchObject({ code: "TIMEOUT", timeoutMs: expect.any(Number) as number });
    answer("unharmed");
    expect(await quick).toBe("unharmed");
    expect(clock.pendingTimers).toBe(0);
  });

  it("is a policy itself, and is flattened inside another", () => {
    const inner = pipeline(retry({ name: "inner" }), timeout("1s"));
    const outer = pipeline(timeout("9s"), inner);
    expect(outer.layers.map(({ name }) => name)).toEqual(["timeout", "inner", "timeout"]);
    expect(outer.describe()).toMatchObject({
      kind: "pipeline",
      summary: "timeout > retry > timeout",
      maxRuns: 3,
    });
    expect(JSON.parse(JSON.stringify(outer.snapshot()))).toMatchObject({
      kind: "pipeline",
      layers: [{ kind: "timeout" }, { kind: "retry", attempts: 3 }, { kind: "timeout", limitMs: 1_000 }],
    });
  });

  it("[bug 26] can be run from inside its own task without a deadlock, and survives many at once", async () => {
    const nested = pipeline(timeout("9s"), retry({ attempts: 1 }));
    const calls = Array.from({ length: 500 }, (_, n) =>
      nested.run((context) => nested.run(() => nested.run(() => n), context)),
    );
    expect((await Promise.all(calls)).reduce((sum, n) => sum + n, 0)).toBe((499 * 500) / 2);
  });

  it("refuses no policy at all, and what is none", () => {
    expect(() => pipeline()).toThrow(InvalidOptionError);
    expect(() => pipeline(undefined as unknown as Policy)).toThrow(/policies\[0\]/);
    expect(() => pipeline(retry(), {} as Policy)).toThrow(/policies\[1\]/);
  });
});

describe("explain", () => {
  it("shows layers, warnings and fixes as data and as text", () => {
    const explained = pipeline(
      retry({ name: "outer", attempts: 3 }),
      retry({ attempts: 4, backoff: constant("1s") }),
    ).explain();
    expect(explained.layers.map(({ name }) => name)).toEqual(["outer", "retry"]);
    expect(explained.warnings).toEqual([
      {
        code: "RETRY_TIMES_RETRY",
        level: "warning",
        message: "retries multiply: 3 × 4 = up to 12 runs of the task for one call",
        fix: "keep one retry, nearest to the call that fails; or share one retryBudget between them",
      },
    ]);
    expect(explained.text.split("\n")).toEqual([
      'retry "outer": tries up to 3 times, exponential backoff from 100ms to 30s, full jitter',
      "  retry: tries up to 4 times, constant backoff of 1s, no jitter",
      "    task",
      expect.stringContaining("warning RETRY_TIMES_RETRY: retries multiply: 3 × 4 = up to 12 runs") as string,
    ]);
  });

  it("has nothing to say about the recommended order", () => {
    const recommended = [
      layer("fallback"),
      layer("timeout", { limitMs: 10_000 }),
      layer("retry", { maxRuns: 3 }),
      layer("circuit-breaker"),
      layer("timeout", { limitMs: 2_000 }),
    ];
    expect(explainOrder(recommended).warnings).toEqual([]);
    expect(codes(...recommended, layer("chaos"))).toEqual([]);
  });

  it.each<[string, PolicyDescription[]]>([
    ["RETRY_TIMES_RETRY", [layer("retry", { maxRuns: 3 }), layer("retry", { maxRuns: 3 })]],
    ["RETRY_TIMES_HEDGE", [layer("hedge", { maxRuns: 2 }), layer("retry", { maxRuns: 3 })]],
    ["RETRY_TIMES_HEDGE", [layer("retry", { maxRuns: 3 }), layer("hedge", { maxRuns: 2 })]],
    [
      "PER_TRY_TIMEOUT_NEVER_FIRES",
      [layer("timeout", { limitMs: 1_000 }), layer("timeout", { limitMs: 1_000 })],
    ],
    ["FALLBACK_HIDES_FAILURES", [layer("retry"), layer("fallback")]],
    ["FALLBACK_HIDES_FAILURES", [layer("circuit-breaker"), layer("fallback")]],
    ["BREAKER_MISSES_TIMEOUTS", [layer("timeout"), layer("circuit-breaker")]],
    ["BREAKER_INSIDE_HEDGE", [layer("hedge"), layer("circuit-breaker")]],
    ["CHAOS_NOT_INNERMOST", [layer("chaos"), layer("timeout")]],
    ["RETRY_INSIDE_BREAKER", [layer("circuit-breaker"), layer("retry")]],
    ["LIMIT_INSIDE_REPEAT", [layer("retry"), layer("bulkhead")]],
    ["LIMIT_INSIDE_REPEAT", [layer("retry"), layer("rate-limit")]],
    ["LIMIT_INSIDE_REPEAT", [layer("hedge"), layer("adaptive-limit")]],
    ["NO_TIMEOUT_PER_TRY", [layer("timeout"), layer("retry")]],
    ["TIMEOUT_PER_HEDGE", [layer("hedge"), layer("timeout")]],
    ["FALLBACK_INSIDE_TIMEOUT", [layer("timeout"), layer("fallback")]],
  ])("says %s, and says it no more once the order is turned round", (code, layers) => {
    expect(codes(...layers)).toEqual([code]);
    const symmetrical = code.startsWith("RETRY_TIMES") || code === "PER_TRY_TIMEOUT_NEVER_FIRES";
    if (!symmetrical) expect(codes(...layers.toReversed())).not.toContain(code);
  });

  it("finds the pair with other layers between, and looks at what else is there", () => {
    expect(codes(layer("retry"), layer("circuit-breaker"), layer("fallback"))).toEqual([
      "FALLBACK_HIDES_FAILURES",
    ]);
    expect(codes(layer("timeout", { limitMs: 9 }), layer("hedge"), layer("timeout", { limitMs: 5 }))).toEqual(
      [],
    );
    expect(
      codes(layer("timeout", { limitMs: 9 }), layer("circuit-breaker"), layer("timeout", { limitMs: 5 })),
    ).toEqual([]);
  });

  it("names the policies it speaks of", () => {
    const [warning] = explainOrder([
      layer("chaos", { name: "monkey" }),
      layer("retry", { name: "api" }),
    ]).warnings;
    expect(warning?.message).toBe(
      'faults of the chaos "monkey" are not handled by the retry "api" inside it',
    );
  });

  it("judges the layers of a pipeline that comes from another copy of this package", () => {
    const foreign = layer("pipeline", { layers: [layer("retry", { maxRuns: 2 }), layer("timeout")] });
    expect(codes(layer("retry", { maxRuns: 5 }), foreign)).toEqual(["RETRY_TIMES_RETRY"]);
  });

  it("publishes each warning when the pipeline is made", () => {
    const events: PipelineWarningEvent[] = [];
    const stop = channel<PipelineWarningEvent>("core", "pipeline_warning").subscribe((event) =>
      events.push(event),
    );
    pipeline(timeout("1s"), retry(), timeout("2s"));
    stop();
    expect(events).toEqual([
      expect.objectContaining({
        code: "PER_TRY_TIMEOUT_NEVER_FIRES",
        layers: ["timeout", "retry", "timeout"],
        message: "the timeout (2000 ms) never fires: the timeout around it ends first (1000 ms)",
      }),
    ]);
  });
});
