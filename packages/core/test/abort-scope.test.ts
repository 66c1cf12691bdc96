import { getEventListeners } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AbortScope, listenTo } from "../src/policies/abort-scope.ts";

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

afterEach(() => {
  vi.restoreAllMocks();
});

describe("AbortScope", () => {
  it("makes no AbortController until its signal is read", () => {
    const made = vi.spyOn(globalThis, "AbortController");
    const outer = new AbortScope(undefined);
    const inner = new AbortScope(outer);
    inner.onAbort(() => {});
    outer.abort("stop");
    inner.release();
    expect(made).not.toHaveBeenCalled();
    made.mockRestore();
    expect(inner.signal.aborted).toBe(true);
  });

  it("hands an abort inwards, never outwards, with the first reason", () => {
    const controller = new AbortController();
    const outer = new AbortScope(controller.signal);
    const inner = new AbortScope(outer);
    const { signal } = inner;
    inner.abort("inner");
    expect([outer.aborted, inner.aborted, signal.reason]).toEqual([false, true, "inner"]);
    controller.abort("caller");
    expect([outer.reason, inner.reason, signal.reason]).toEqual(["caller", "inner", "inner"]);
  });

  it("is aborted, before any listener has run, as soon as its outer signal is", () => {
    const controller = new AbortController();
    const scope = new AbortScope(new AbortScope(controller.signal));
    controller.signal.addEventListener("abort", () => expect(scope.aborted).toBe(true));
    const reason = new Error("caller");
    controller.abort(reason);
    expect(scope.reason).toBe(reason);
    expect(scope.signal.reason).toBe(reason);
  });

  it("calls listeners in the order they came, and none that an earlier one has taken back", () => {
    const scope = new AbortScope(undefined);
    const called: string[] = [];
    scope.onAbort(() => {
      called.push("a");
      leaveC();
    });
    scope.onAbort(() => called.push("b"));
    const leaveC = scope.onAbort(() => called.push("c"));
    scope.abort("stop");
    expect(called).toEqual(["a", "b"]);
  });

  it("tells the others when a listener throws, and lets the error surface as an uncaught exception", () => {
    const thrown: (() => void)[] = [];
    vi.spyOn(globalThis, "queueMicrotask").mockImplementation((callback) => void thrown.push(callback));
    const controller = new AbortController();
    const scope = new AbortScope(controller.signal);
    const called = vi.fn();
    scope.onAbort(() => {
      throw new Error("listener");
    });
    scope.onAbort(called);
    controller.abort("stop");
    expect(called).toHaveBeenCalledWith("stop");
    expect(() => thrown[0]?.()).toThrow("listener");
  });

  it("counts the same function as often as it was added, and takes back one of them at a time", () => {
    const scope = new AbortScope(undefined);
    const called = vi.fn();
    const leave = scope.onAbort(called);
    scope.onAbort(called);
    leave();
    leave();
    scope.abort("stop");
    expect(called).toHaveBeenCalledOnce();
  });

  it("survives an abort from within an abort, and calls every listener once", () => {
    const outer = new AbortScope(undefined);
    const inner = new AbortScope(outer);
    const called: unknown[] = [];
    outer.onAbort(() => inner.abort("inner"));
    outer.onAbort(() => outer.abort("again"));
    inner.onAbort((reason) => called.push(reason));
    outer.abort("outer");
    expect(called).toEqual(["outer"]);
    expect(inner.reason).toBe("outer");
  });

  it("leaves no listener on the outer signal once it is released, also when its signal is read later", () => {
    const controller = new AbortController();
    const scope = new AbortScope(controller.signal);
    expect(scope.signal.aborted).toBe(false);
    expect(listenersOf(controller.signal)).toBe(1);
    scope.release();
    expect(listenersOf(controller.signal)).toBe(0);

    const late = new AbortScope(controller.signal);
    late.release();
    expect(late.signal.aborted).toBe(false);
    late.onAbort(() => {});
    expect(listenersOf(controller.signal)).toBe(0);
    controller.abort();
    expect([scope.signal.aborted, scope.aborted, late.aborted]).toEqual([false, false, false]);
  });

  it("stays aborted after its release when the outer signal had aborted before", () => {
    const controller = new AbortController();
    const scope = new AbortScope(controller.signal);
    controller.abort("stop");
    scope.release();
    scope.release();
    expect([scope.aborted, scope.reason, scope.signal.reason]).toEqual([true, "stop", "stop"]);
  });

  it("leaves no listener on the outer signal once the last of its own has left, and can listen again", () => {
    const controller = new AbortController();
    const scope = new AbortScope(controller.signal);
    scope.onAbort(() => {})();
    expect(listenersOf(controller.signal)).toBe(0);
    const called = vi.fn();
    scope.onAbort(called);
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort("stop");
    expect(called).toHaveBeenCalledExactlyOnceWith("stop");
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it("[bug 19] puts one listener on a signal, however many calls share it, and takes it away after the last", () => {
    const controller = new AbortController();
    const leaves = Array.from({ length: 500 }, () => listenTo(controller.signal, () => {}));
    expect(listenersOf(controller.signal)).toBe(1);
    for (const leave of leaves) leave();
    expect(listenersOf(controller.signal)).toBe(0);
    const called = vi.fn();
    listenTo(controller.signal, called);
    controller.abort("stop");
    expect(called).toHaveBeenCalledExactlyOnceWith("stop");
  });
});
