import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import type { ChaosEvent } from "@holdfast/core";
import {
  channel,
  chaosBehavior,
  chaosFault,
  chaosLatency,
  chaosResult,
  explainOrder,
  InvalidOptionError,
  pipeline,
  retry,
  seededRandom,
} from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

describe("chaos", () => {
  it("latency: waits before the task, and an abort ends the wait at once", async () => {
    const clock = manualClock();
    const policy = chaosLatency("2s", { rate: 1, clock });
    const run = policy.run(() => clock.monotonic());
    await clock.advance("5s");
    await expect(run).resolves.toBe(2_000);
    const controller = new AbortController();
    const task = vi.fn();
    const aborted = policy.run(task, { signal: controller.signal });
    controller.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    expect(task).not.toHaveBeenCalled();
    expect([clock.pendingTimers, getEventListeners(controller.signal, "abort").length]).toEqual([0, 0]);
  });

  it("fault: fails instead of running the task, with the error or one that is made for the call", async () => {
    const task = vi.fn();
    const error = new Error("injected");
    await expect(chaosFault(error, { rate: 1 }).run(task)).rejects.toBe(error);
    const made = chaosFault(({ attempt }) => new Error(`injected at ${attempt}`), { rate: 1 });
    await expect(made.run(task)).rejects.toThrow("injected at 1");
    expect(task).not.toHaveBeenCalled();
  });

  it("result: answers something else instead of running the task", async () => {
    const task = vi.fn(() => 1);
    await expect(chaosResult(null, { rate: 1 }).run(task)).resolves.toBeNull();
    await expect(chaosResult(async () => "made", { rate: 1 }).run(task)).resolves.toBe("made");
    expect(task).not.toHaveBeenCalled();
  });

  it("behavior: does something before the task, whose failure is the call's", async () => {
    const order: string[] = [];
    const behavior = async (): Promise<void> => void order.push("behavior");
    await chaosBehavior(behavior, { rate: 1 }).run(() => order.push("task"));
    expect(order).toEqual(["behavior", "task"]);
    const broken = chaosBehavior(() => Promise.reject(new Error("broken")), { rate: 1 });
    await expect(broken.run(() => 1)).rejects.toThrow("broken");
  });

  it("disturbs the given share of the calls, the same ones for the same seed", async () => {
    const struck = async (seed: number): Promise<boolean[]> => {
      const policy = chaosResult("chaos", { rate: 0.3, random: seededRandom(seed) });
      const answers = Array.from({ length: 2_000 }, () => policy.run(() => "task"));
      return (await Promise.all(answers)).map((answer) => answer === "chaos");
    };
    const [first, again, other] = [await struck(1), await struck(1), await struck(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    const share = first.filter(Boolean).length / 2_000;
    expect(share).toBeGreaterThan(0.25);
    expect(share).toBeLessThan(0.35);
  });

  it("never strikes at rate 0, always at rate 1, and draws nothing for calls that cannot be disturbed", async () => {
    const random = vi.fn(() => 0.999_999);
    expect(await chaosResult("chaos", { rate: 1, random }).run(() => "task")).toBe("chaos");
    expect(await chaosResult("chaos", { rate: 0, random: () => 0 }).run(() => "task")).toBe("task");
    random.mockClear();
    await chaosResult("chaos", { rate: 1, random, enabled: false }).run(() => "task");
    await chaosResult("chaos", { rate: 1, random, when: () => false }).run(() => "task");
    expect(random).not.toHaveBeenCalled();
  });

  it("asks its switch at each call, and its predicate with the call's context", async () => {
    let on = false;
    const policy = chaosResult("chaos", {
      rate: 1,
      enabled: () => on,
      when: ({ idempotencyKey }) => idempotencyKey !== "vip",
    });
    expect(await policy.run(() => "task")).toBe("task");
    on = true;
    expect(await policy.run(() => "task")).toBe("chaos");
    expect(await policy.run(() => "task", { idempotencyKey: "vip" })).toBe("task");
    expect(policy.snapshot()).toEqual({
      kind: "chaos",
      name: "chaos-result",
      disturbance: "result",
      enabled: true,
      rate: 1,
      calls: 3,
      disturbed: 1,
    });
  });

  it("publishes each disturbance, and disturbs no call that was aborted before", async () => {
    const events: ChaosEvent[] = [];
    const stop = channel<ChaosEvent>("core", "chaos").subscribe((event) => events.push(event));
    const policy = chaosFault(new Error("injected"), { rate: 1, name: "c" });
    await expect(policy.run(() => 1, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
    await expect(policy.run(() => 1)).rejects.toThrow("injected");
    expect(events).toEqual([{ policy: "c", attempt: 1, disturbance: "fault" }]);
    stop();
  });

  it("is met by the retry around it, and explain() warns when it is not innermost", async () => {
    const clock = manualClock();
    const policy = chaosFault(new Error("injected"), { rate: 0.5, random: seededRandom(3) });
    const stubborn = pipeline(retry({ attempts: 50, clock }), policy);
    const run = stubborn.run(() => "through");
    await clock.advance("1h");
    await expect(run).resolves.toBe("through");
    const wrong = explainOrder([policy.describe(), retry().describe()]);
    expect(wrong.warnings.map(({ code }) => code)).toContain("CHAOS_NOT_INNERMOST");
    expect(policy.describe().summary).toBe("fails instead of 50 % of the calls");
  });

  it.each([
    ["chaosFault", "rate", () => chaosFault(new Error("x"), { rate: 1.1 })],
    ["chaosFault", "rate", () => chaosFault(new Error("x"), {} as never)],
    ["chaosResult", "enabled", () => chaosResult(1, { rate: 1, enabled: "yes" as never })],
    ["chaosLatency", "latency", () => chaosLatency(-1, { rate: 1 })],
    ["chaosBehavior", "behavior", () => chaosBehavior(7 as never, { rate: 1 })],
    ["chaosBehavior", "when", () => chaosBehavior(() => {}, { rate: 1, when: 7 as never })],
  ])("%s refuses a bad %s at construction", (owner, option, make) => {
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ owner, option }));
  });
});
