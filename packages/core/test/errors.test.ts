import vm from "node:vm";
import { describe, expect, it, vi } from "vitest";
import type { HoldfastError } from "@holdfast/core";
import {
  asError,
  ClosedError,
  describeValue,
  FallbackFailedError,
  hasCode,
  HedgeLostError,
  InvalidOptionError,
  isHoldfastError,
  LeaseLostError,
  NonErrorThrownError,
  ResultRefusedError,
  retry,
  StoreUnavailableError,
  timeout,
  TimeoutError,
} from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";

const every: readonly (readonly [string, number, HoldfastError])[] = [
  ["INVALID_OPTION", 400, new InvalidOptionError("retry", "attempts", 0, "an integer of at least 1")],
  ["TIMEOUT", 504, new TimeoutError("lookup", 250)],
  ["NON_ERROR_THROWN", 500, new NonErrorThrownError("postgres://user:secret@db")],
  ["RESULT_REFUSED", 502, new ResultRefusedError("fallback", { secret: 1 })],
  ["FALLBACK_FAILED", 500, new FallbackFailedError("fallback", new Error("b"), { cause: new Error("a") })],
  ["HEDGE_LOST", 500, new HedgeLostError("hedge")],
  ["STORE_UNAVAILABLE", 503, new StoreUnavailableError("redis", "away", { retryAfterMs: 50 })],
  ["LEASE_LOST", 409, new LeaseLostError("task-1", 7)],
  ["CLOSED", 503, new ClosedError('queue "mail"')],
];

/** Things that make trouble when they are looked at. */
function hostileValues(): readonly unknown[] {
  const boom = (): never => {
    throw new Error("do not touch");
  };
  const traps = new Proxy({}, { get: boom, getPrototypeOf: boom, has: boom, ownKeys: boom });
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  return [
    undefined,
    null,
    0,
    "text",
    "x".repeat(10_000),
    Symbol("s"),
    12n,
    traps,
    revoked.proxy,
    Object.create(null),
    { toString: boom, valueOf: boom, [Symbol.toPrimitive]: boom },
    {
      get constructor() {
        return boom();
      },
    },
    { constructor: { name: { toString: boom } } },
    {
      get code() {
        return boom();
      },
      get message() {
        return boom();
      },
    },
    {
      get [Symbol.toStringTag]() {
        return boom();
      },
    },
    JSON.parse('{"__proto__":{"polluted":true},"constructor":{"name":"x"}}'),
    () => {},
    class Named {},
    [1, 2, 3],
  ];
}

describe("errors", () => {
  it.each(every)(
    "%s has its code, its name, its status and problem details that survive JSON",
    (code, status, error) => {
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe(error.constructor.name);
      expect(error.stack).toContain(error.message);
      expect(isHoldfastError(error)).toBe(true);
      expect(hasCode(error, code)).toBe(true);
      expect(hasCode(error, "SOMETHING_ELSE")).toBe(false);
      const problem = JSON.parse(JSON.stringify(error.toProblem())) as Record<string, unknown>;
      expect(problem).toMatchObject({
        type: `urn:holdfast:error:${code.toLowerCase().replaceAll("_", "-")}`,
        status,
        code,
      });
      // Whole, or without what it quotes from the inside.
      expect(error.message.startsWith(problem["detail"] as string)).toBe(true);
      expect(problem["title"]).toMatch(/^[A-Z][a-z ]+$/);
      expect(JSON.stringify(problem)).not.toMatch(/secret/);
      for (const inside of ["stack", "cause", "value", "result", "thrown"])
        expect(problem).not.toHaveProperty(inside);
    },
  );

  it("has a retryAfterMs only where one is known", () => {
    expect(Object.hasOwn(new TimeoutError("x", 1), "retryAfterMs")).toBe(false);
    const error = new StoreUnavailableError("redis", "away", { retryAfterMs: 50, cause: "why" });
    expect([error.retryAfterMs, error.toProblem().retryAfterMs, error.cause]).toEqual([50, 50, "why"]);
  });

  it("is recognised by its code across a second copy of the package", async () => {
    vi.resetModules();
    const copy = await import("../src/index.ts");
    const foreign = new copy.TimeoutError("x", 1);
    expect(foreign).not.toBeInstanceOf(TimeoutError);
    expect(hasCode(foreign, "TIMEOUT")).toBe(true);
    expect(copy.hasCode(new TimeoutError("x", 1), "TIMEOUT")).toBe(true);
    expect(hasCode({ code: "TIMEOUT", name: "TimeoutError" }, "TIMEOUT")).toBe(false);
  });

  it("asks and describes hostile values without ever throwing (survival row 3)", () => {
    for (const value of hostileValues()) {
      expect(isHoldfastError(value)).toBe(false);
      expect(hasCode(value, "TIMEOUT")).toBe(false);
      expect(describeValue(value).length).toBeLessThanOrEqual(120);
      const error = asError(value);
      expect(error).toBeInstanceOf(NonErrorThrownError);
      expect((error as NonErrorThrownError).thrown).toBe(value);
      expect(JSON.stringify((error as NonErrorThrownError).toProblem())).toContain("NON_ERROR_THROWN");
    }
    const twoFaced = new Proxy(new TimeoutError("x", 1), {
      get: (target, key) => {
        if (key === "code") throw new Error("do not touch");
        return Reflect.get(target, key) as unknown;
      },
    });
    expect(hasCode(twoFaced, "TIMEOUT")).toBe(false);
  });

  it("keeps Errors as they are, those of other realms too", () => {
    const own = new RangeError("x");
    expect(asError(own)).toBe(own);
    const foreign: unknown = vm.runInNewContext("new TypeError('from another realm')");
    expect(asError(foreign)).toBe(foreign);
  });

  it("a task may throw any of them: the call rejects with an Error that keeps it (survival row 3)", async () => {
    const clock = manualClock();
    for (const value of hostileValues()) {
      const thrower = (): never => {
        throw value;
      };
      for (const policy of [timeout("1s", { clock }), retry({ attempts: 1, clock })]) {
        await expect(policy.run(thrower)).rejects.toBeInstanceOf(NonErrorThrownError);
      }
    }
    expect(clock.pendingTimers).toBe(0);
  });

  it("a __proto__ payload changes no prototype and round-trips byte by byte (survival row 8)", async () => {
    const bytes = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
    const value = await timeout("1s").run(() => JSON.parse(bytes) as unknown);
    expect(JSON.stringify(value)).toBe(bytes);
    const error = new InvalidOptionError("x", "__proto__", JSON.parse(bytes), "something else");
    expect(JSON.parse(JSON.stringify(error.toProblem()))).toMatchObject({ option: "__proto__" });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
