import { describe, expect, it, vi } from "vitest";
import type { FallbackEvent } from "@holdfast/core";
import { channel, fallback, InvalidOptionError, retry, StoreUnavailableError, timeout } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

const failing = (): Promise<never> => Promise.reject(new Error("down"));

describe("fallback", () => {
  it("answers the task's value when there is one, whatever it is", async () => {
    const policy = fallback("spare");
    for (const value of [1, undefined, null, false, Number.NaN])
      await expect(policy.run(() => value)).resolves.toBe(value);
    expect(policy.snapshot()).toEqual({ kind: "fallback", name: "fallback", replaced: 0 });
  });

  it("answers its own value when the task fails, at once or later, undefined included", async () => {
    await expect(fallback("spare").run(failing)).resolves.toBe("spare");
    await expect(fallback(undefined).run(failing)).resolves.toBeUndefined();
    const thrower = (): never => {
      throw new Error("at once");
    };
    await expect(fallback(0).run(thrower)).resolves.toBe(0);
  });

  it("computes its value from the error and the context", async () => {
    const policy = fallback(async (error, { attempt }) => `${error.message} at ${attempt}`);
    await expect(policy.run(failing)).resolves.toBe("down at 1");
    await expect(policy.run(() => Promise.reject("text"))).resolves.toMatch(
      /not an Error was thrown: "text"/,
    );
  });

  it("replaces only the errors that `when` names, and passes others on untouched", async () => {
    const other = new TypeError("a bug");
    const policy = fallback("spare", { when: (error) => !(error instanceof TypeError) });
    await expect(policy.run(failing)).resolves.toBe("spare");
    await expect(policy.run(() => Promise.reject(other))).rejects.toBe(other);
  });

  it("replaces the results that `whenResult` names, and hands them to the function as an error's field", async () => {
    const policy = fallback((error) => ({ instead: error }), { whenResult: (value) => value === 503 });
    await expect(policy.run(() => 200)).resolves.toBe(200);
    await expect(policy.run(() => 503)).resolves.toMatchObject({
      instead: { code: "RESULT_REFUSED", result: 503 },
    });
  });

  it("never turns a caller's abort into a fallback value", async () => {
    const clock = manualClock();
    const substitute = vi.fn(() => "spare");
    const policy = fallback(substitute, { whenResult: () => true });
    await expect(policy.run(() => 1, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
    const tasks = [
      ({ signal }: { readonly signal: AbortSignal }) => clock.sleep("1h", signal),
      () => clock.sleep("1s").then(() => Promise.reject(new Error("its own error"))),
      () => clock.sleep("1s"),
    ];
    for (const task of tasks) {
      const controller = new AbortController();
      const reason = { by: "caller" };
      const run = policy.run(task, { signal: controller.signal });
      const rejected = expect(run).rejects.toBe(reason);
      controller.abort(reason);
      await clock.advance("1s");
      await rejected;
    }
    expect(substitute).not.toHaveBeenCalled();
  });

  it("an abort while the fallback is computed rejects with the caller's reason too", async () => {
    const controller = new AbortController();
    const policy = fallback(async () => {
      controller.abort("meanwhile");
      throw new Error("gave up");
    });
    await expect(policy.run(failing, { signal: controller.signal })).rejects.toBe("meanwhile");
  });

  it("keeps both errors when the fallback fails in its turn, and the first one's Retry-After", async () => {
    const first = new StoreUnavailableError("redis", "away", { retryAfterMs: 3_000 });
    const second = new Error("the replica too");
    const policy = fallback(() => Promise.reject(second), { name: "replica" });
    await expect(policy.run(() => Promise.reject(first))).rejects.toMatchObject({
      code: "FALLBACK_FAILED",
      policy: "replica",
      cause: first,
      fallbackError: second,
      retryAfterMs: 3_000,
    });
    const thrower = fallback((): string => {
      throw "text";
    });
    await expect(thrower.run(failing)).rejects.toMatchObject({ fallbackError: { code: "NON_ERROR_THROWN" } });
  });

  it("tells its observer and its channel before it answers; what they throw changes nothing", async () => {
    const events: FallbackEvent[] = [];
    const stop = channel<FallbackEvent>("core", "fallback").subscribe((event) => {
      events.push(event);
      throw new Error("subscriber");
    });
    const onFallback = vi.fn(() => Promise.reject(new Error("observer")));
    await expect(fallback("spare", { name: "f", onFallback }).run(failing)).resolves.toBe("spare");
    expect(events).toEqual([{ policy: "f", attempt: 1, error: new Error("down") }]);
    expect(onFallback).toHaveBeenCalledWith(events[0]);
    stop();
  });

  it("answers for a timeout and for spent retries inside it", async () => {
    const clock = manualClock();
    const outer = fallback("spare");
    const late = outer.run((context) => timeout("1s", { clock }).run(() => new Promise(() => {}), context));
    await clock.advance("1s");
    await expect(late).resolves.toBe("spare");
    const spent = outer.run((context) => retry({ attempts: 1, clock }).run(failing, context));
    await expect(spent).resolves.toBe("spare");
    expect(outer.snapshot()).toMatchObject({ replaced: 2 });
  });

  it.each([
    ["name", { name: "" }],
    ["when", { when: true }],
    ["whenResult", { whenResult: "5xx" }],
    ["onFallback", { onFallback: {} }],
  ])("refuses a bad %s at construction", (option, options) => {
    const make = (): unknown => fallback(1, options as never);
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ owner: "fallback", option }));
  });
});
