import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { InvalidOptionError } from "@holdfast/core";
import type { FaultyOptions } from "@holdfast/core/testing";
import { faulty, leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";

class Counter {
  #count = 0;
  readonly label = "counter";

  async add(amount: number, options?: { readonly signal?: AbortSignal }): Promise<number> {
    options?.signal?.throwIfAborted();
    this.#count += amount;
    return this.#count;
  }

  async read(_signal?: AbortSignal): Promise<number> {
    return this.#count;
  }
}

describe("faulty", () => {
  it("follows a script call by call, and lets what is beyond its end go well", async () => {
    const counter = new Counter();
    const own = new Error("own");
    const flaky = faulty(counter, { plan: [{ kind: "error" }, undefined, { kind: "error", error: own }] });
    await expect(flaky.add(1)).rejects.toMatchObject({ name: "InjectedFaultError", code: "ECONNREFUSED" });
    expect(await counter.read()).toBe(0);
    await expect(flaky.add(1)).resolves.toBe(1);
    await expect(flaky.add(1)).rejects.toBe(own);
    await expect(flaky.add(1)).resolves.toBe(2);
    expect(flaky.label).toBe("counter");
    expect(flaky).toBeInstanceOf(Counter);
  });

  it("lost reply: the effect has happened, the caller sees an error", async () => {
    const counter = new Counter();
    const flaky = faulty(counter, { plan: [{ kind: "lost-reply" }] });
    await expect(flaky.add(5)).rejects.toMatchObject({ fault: "lost-reply", code: "ECONNRESET" });
    expect(await counter.read()).toBe(5);
  });

  it("dropped connection: the caller cannot tell whether the effect has happened", async () => {
    const counter = new Counter();
    const flaky = faulty(counter, { plan: () => ({ kind: "dropped-connection" }), random: seededRandom(1) });
    for (let call = 0; call < 100; call += 1)
      await expect(flaky.add(1)).rejects.toMatchObject({ code: "ECONNRESET" });
    const count = await counter.read();
    expect(count).toBeGreaterThan(30);
    expect(count).toBeLessThan(70);
  });

  it("latency: makes the call later, or not at all once its signal aborts", async () => {
    const clock = manualClock();
    const counter = new Counter();
    const flaky = faulty(counter, { plan: () => ({ kind: "latency", delay: "1s" }), clock });
    const late = flaky.add(1);
    await clock.advance("999ms");
    expect(await counter.read()).toBe(0);
    await clock.advance("1ms");
    await expect(late).resolves.toBe(1);
    const controller = new AbortController();
    const aborted = flaky.add(1, { signal: controller.signal });
    controller.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    expect([await counter.read(), clock.pendingTimers]).toEqual([1, 0]);
  });

  it("hang: never answers until a signal among the arguments aborts, and leaves no listener", async () => {
    const flaky = faulty(new Counter(), { plan: () => ({ kind: "hang" }) });
    const controller = new AbortController();
    const bare = flaky.read(controller.signal);
    const inOptions = flaky.add(1, { signal: controller.signal });
    controller.abort("enough");
    await expect(bare).rejects.toBe("enough");
    await expect(inOptions).rejects.toBe("enough");
    await expect(flaky.read(controller.signal)).rejects.toBe("enough");
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
  });

  it("by rates: the same faults for the same seed, about as often as told", async () => {
    const outcomes = async (seed: number): Promise<string[]> => {
      const plan = { error: 0.2, lostReply: 0.1 };
      const flaky = faulty(new Counter(), { plan, random: seededRandom(seed) });
      const results: string[] = [];
      for (let call = 0; call < 1_000; call += 1)
        results.push(
          await flaky.add(1).then(
            () => "ok",
            (error: { fault: string }) => error.fault,
          ),
        );
      return results;
    };
    const first = await outcomes(4);
    expect(await outcomes(4)).toEqual(first);
    const share = (kind: string): number => first.filter((outcome) => outcome === kind).length / 1_000;
    expect(Math.abs(share("error") - 0.2)).toBeLessThan(0.05);
    expect(Math.abs(share("lost-reply") - 0.1)).toBeLessThan(0.05);
  });

  it("disturbs only the methods that are named, and tells a planning function about each call", async () => {
    const calls: unknown[] = [];
    const plan: FaultyOptions["plan"] = (call) => {
      calls.push(call);
      return { kind: "error" };
    };
    const flaky = faulty(new Counter(), { plan, methods: ["add"] });
    await expect(flaky.read()).resolves.toBe(0);
    await expect(flaky.add(3)).rejects.toThrow("injected error in add()");
    expect(calls).toEqual([{ method: "add", args: [3], index: 0 }]);
  });

  it("refuses rates out of range, and draws without a random", () => {
    const random = seededRandom(1);
    expect(() => faulty({}, { plan: { error: 2 }, random })).toThrow(InvalidOptionError);
    expect(() => faulty({}, { plan: { error: 0.6, hang: 0.6 }, random })).toThrow(/sum up to 1/);
    expect(() => faulty({}, { plan: { error: 0.5 } })).toThrow(/seededRandom/);
  });
});

describe("leakCheck", () => {
  it("names what has been left behind since it began, and nothing that was there before", () => {
    const clock = manualClock();
    const { signal } = new AbortController();
    const listener = (): void => {};
    signal.addEventListener("abort", () => {});
    clock.setTimer("1h", () => {});
    const check = leakCheck({ signals: [signal], clocks: [clock] });
    check.assertNone();
    signal.addEventListener("abort", listener);
    const timer = clock.setTimer("1h", () => {});
    expect(check.leaks()).toEqual({ listeners: [1], timers: [1], handles: {} });
    expect(() => check.assertNone()).toThrow("1 abort listeners on signal 0; 1 timers on clock 0");
    signal.removeEventListener("abort", listener);
    timer.cancel();
    check.assertNone();
  });

  it("sees what keeps the process alive", () => {
    const check = leakCheck({ handles: true });
    const port = new MessageChannel();
    port.port1.onmessage = () => {};
    expect(check.leaks().handles).toMatchObject({ MessagePort: expect.any(Number) as number });
    port.port1.close();
  });
});
