import type { Idempotency, IdempotencyEvent, IdempotencyOptions, IdempotencyStore } from "@holdfast/core";
import {
  channel,
  HoldfastError,
  idempotency,
  memoryIdempotencyStore,
  StoreUnavailableError,
  TimeoutError,
} from "@holdfast/core";
import type { FaultyOptions, ManualClock } from "@holdfast/core/testing";
import { faulty, leakCheck, manualClock, seededRandom } from "@holdfast/core/testing";
import { beforeEach, describe, expect, it } from "vitest";

let clock: ManualClock;
let store: IdempotencyStore;

beforeEach(() => {
  clock = manualClock();
  store = memoryIdempotencyStore({ clock });
});

function open(options: Partial<IdempotencyOptions> = {}): Idempotency {
  return idempotency({ store, scope: "orders", lock: "10s", clock, random: seededRandom(1), ...options });
}

/** A store that goes wrong as planned. */
function broken(plan: FaultyOptions["plan"], methods?: readonly string[]): IdempotencyStore {
  return faulty(store, { plan, clock, random: seededRandom(1), ...(methods ? { methods } : {}) });
}

/** Something that a test ends when it wants to. */
function later<T = void>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "no error",
    (error: unknown) => (error as { code?: unknown } | undefined)?.code ?? error,
  );

/** Runs the clock until a promise has settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  const seen = { done: false };
  const onEnd = (): void => void (seen.done = true);
  promise.then(onEnd, onEnd);
  for (let turn = 0; turn < 1_000 && !seen.done; turn += 1) {
    await clock.advance(0);
    // Fingerprints are computed by the host, outside the clock.
    await new Promise((resolve) => setImmediate(resolve));
    if (!seen.done) await clock.advanceToNextTimer();
  }
  return promise;
}

/** Lets a call get as far as it gets without the clock; fingerprints are computed on the host's threads. */
async function underway(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) {
    await crypto.subtle.digest("SHA-256", new Uint8Array());
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("idempotency", () => {
  it("runs an operation once, and answers every later request with its result", async () => {
    const orders = open();
    let runs = 0;
    const place = () => orders.run({ key: "k", body: { amount: 5 } }, () => ({ order: (runs += 1) }));
    expect(await place()).toEqual({ value: { order: 1 }, replayed: false, stored: true });
    expect(await place()).toEqual({ value: { order: 1 }, replayed: true, stored: true });
    expect(runs).toBe(1);
  });

  it("tells an operation its key, its fence, and that nothing is in doubt", async () => {
    const seen = await open().run({ key: "k" }, ({ key, scope, fence, doubt, point, aborted }) => ({
      key,
      scope,
      fence: fence > 0,
      doubt,
      point: point ?? null,
      aborted,
    }));
    expect(seen.value).toEqual({
      key: "k",
      scope: "orders",
      fence: true,
      doubt: false,
      point: null,
      aborted: false,
    });
  });

  it("replays undefined, null and text as they were", async () => {
    const orders = open();
    for (const [key, value] of Object.entries({ a: undefined, b: null, c: "text", d: 0, e: false })) {
      await orders.run({ key }, () => value);
      expect((await orders.run({ key }, () => "another")).value).toBe(value);
    }
  });

  it("(survival row 7) refuses a key that was used for another body, in any state of the key", async () => {
    const orders = open();
    const first = later<string>();
    const running = orders.run({ key: "k", body: { a: 1, b: 2 } }, () => first.promise);
    await underway();
    expect(await code(orders.run({ key: "k", body: { a: 2 } }, () => 1))).toBe("IDEMPOTENCY_MISMATCH");
    first.resolve("done");
    await running;
    expect(await code(orders.run({ key: "k", body: { a: 2 } }, () => 1))).toBe("IDEMPOTENCY_MISMATCH");
    expect((await orders.run({ key: "k", body: { b: 2, a: 1 } }, () => "another")).value).toBe("done");
  });

  it("(survival row 7) refuses a second request while the first is in flight, with a time to come back", async () => {
    const orders = open();
    const first = later();
    const running = orders.run({ key: "k" }, () => first.promise);
    await underway();
    const refused = await orders.run({ key: "k" }, () => 1).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "IDEMPOTENCY_IN_FLIGHT", status: 409, retryAfterMs: 10_000 });
    first.resolve();
    await running;
  });

  it("(survival row 7) a crash after the effect, before its record, leaves the key in doubt: nothing runs twice", async () => {
    const orders = open();
    const crashed = await store.begin({
      scope: "orders",
      key: "k",
      fingerprint: await fingerprintOfNothing(),
      owner: "dead",
      lockTtlMs: 10_000,
      ttlMs: 86_400_000,
      takeDoubtful: false,
    });
    expect(crashed.kind).toBe("acquired");
    await clock.advance("10s");
    let runs = 0;
    const refused = await orders.run({ key: "k" }, () => (runs += 1)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "IDEMPOTENCY_IN_DOUBT", status: 409, key: "k" });
    expect(runs).toBe(0);
    const again = await open({ onInDoubt: "run" }).run({ key: "k" }, ({ doubt }) => ({ doubt }));
    expect(again.value).toEqual({ doubt: true });
  });

  it("(survival row 8) a __proto__ in a result changes no prototype and comes back", async () => {
    const orders = open();
    const hostile = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as object;
    await orders.run({ key: "__proto__" }, () => hostile);
    const { value } = await orders.run({ key: "__proto__" }, () => ({}));
    expect(JSON.stringify(value)).toBe(JSON.stringify(hostile));
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it("keeps the keys of two scopes apart", async () => {
    const orders = open();
    await orders.run({ key: "k", scope: "ann" }, () => "ann's");
    expect((await orders.run({ key: "k", scope: "bob" }, () => "bob's")).value).toBe("bob's");
  });

  it("says that a result was not kept, when it is too long or no JSON, and does not run again", async () => {
    const orders = open({ maxResultLength: 1_000 });
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    for (const [key, value] of Object.entries({ long: "x".repeat(1_000), cyclic, bigint: 1n })) {
      const first = await orders.run({ key }, () => value as unknown);
      expect(first.value).toBe(value);
      expect(await code(orders.run({ key }, () => "another"))).toBe("IDEMPOTENCY_RESULT_NOT_KEPT");
    }
  });

  it("refuses bad options and bad keys at once, naming them", async () => {
    expect(() => open({ lock: 10 })).toThrow(/lock/);
    expect(() => open({ ttl: "5s" })).toThrow(/ttl/);
    expect(() => open({ scope: "" })).toThrow(/scope/);
    expect(() => open({ onInDoubt: "ignore" as never })).toThrow(/onInDoubt/);
    expect(() => open({ store: undefined as never })).toThrow(/store/);
    const orders = open();
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    for (const call of [
      { key: "" },
      { key: "k".repeat(256) },
      { key: 5 as never },
      { key: "k", body: cyclic },
    ])
      expect(await code(orders.run(call, () => 1))).toBe("INVALID_OPTION");
    expect(await code(orders.run({ key: "k", tx: {} as never }, () => 1))).toBe("INVALID_OPTION");
  });
});

describe("an operation that fails", () => {
  it("without effect opens its key again, and its error reaches the caller as it was", async () => {
    const orders = open();
    const error = new HoldfastTest("no stock");
    await expect(orders.run({ key: "k" }, () => Promise.reject(error))).rejects.toBe(error);
    expect((await orders.run({ key: "k" }, () => "worked")).value).toBe("worked");
  });

  it("with an unknown end leaves its key in doubt: timeouts, and stores that may have written", async () => {
    const orders = open();
    const errors = {
      timeout: new TimeoutError("bank", 100),
      store: new StoreUnavailableError("postgres", "gone", { outcome: "unknown" }),
    };
    for (const [key, error] of Object.entries(errors)) {
      await expect(orders.run({ key }, () => Promise.reject(error))).rejects.toBe(error);
      expect(await code(orders.run({ key }, () => 1))).toBe("IDEMPOTENCY_IN_DOUBT");
    }
    const none = new StoreUnavailableError("postgres", "refused", { outcome: "none" });
    await expect(orders.run({ key: "none" }, () => Promise.reject(none))).rejects.toBe(none);
    expect((await orders.run({ key: "none" }, () => 1)).value).toBe(1);
  });

  it("for good, as the caller says, is replayed as that failure", async () => {
    const orders = open({ onFailure: () => "final" });
    const declined = Object.assign(new Error("card declined"), { code: "DECLINED" });
    await expect(orders.run({ key: "k" }, () => Promise.reject(declined))).rejects.toBe(declined);
    const again = await orders.run({ key: "k" }, () => 1).catch((error: unknown) => error);
    expect(again).toMatchObject({
      code: "IDEMPOTENCY_REPLAYED_FAILURE",
      originalCode: "DECLINED",
      message: "card declined",
    });
  });

  it("is in doubt when the rule itself throws", async () => {
    const orders = open({
      onFailure: () => {
        throw new Error("broken rule");
      },
    });
    await expect(orders.run({ key: "k" }, () => Promise.reject(new Error("x")))).rejects.toThrow("x");
    expect(await code(orders.run({ key: "k" }, () => 1))).toBe("IDEMPOTENCY_IN_DOUBT");
  });

  it("resumes at its recovery point, without doubt", async () => {
    const orders = open();
    const steps: unknown[] = [];
    const order = () =>
      orders.run({ key: "k" }, async ({ point, checkpoint }) => {
        steps.push(point ?? "from the start");
        if (point === undefined) {
          await checkpoint("charged", { charge: 7 });
          throw new TimeoutError("shipping", 100);
        }
        return "shipped";
      });
    await expect(order()).rejects.toMatchObject({ code: "TIMEOUT" });
    expect((await order()).value).toBe("shipped");
    expect(steps).toEqual(["from the start", { name: "charged", data: { charge: 7 } }]);
  });

  it("refuses recovery points that cannot be kept", async () => {
    const orders = open({ maxResultLength: 1_000 });
    const attempt = (name: string, data: unknown) =>
      code(orders.run({ key: name || "none" }, ({ checkpoint }) => checkpoint(name, data)));
    expect(await attempt("", 1)).toBe("INVALID_OPTION");
    expect(await attempt("long", "x".repeat(1_000))).toBe("INVALID_OPTION");
    expect(await attempt("bigint", 1n)).toBe("INVALID_OPTION");
  });
});

describe("the lease of an operation", () => {
  it("is renewed for as long as it runs", async () => {
    const orders = open();
    const work = later<string>();
    const running = orders.run({ key: "k" }, () => work.promise);
    await underway();
    await clock.advance("1h");
    expect(await code(orders.run({ key: "k" }, () => 1))).toBe("IDEMPOTENCY_IN_FLIGHT");
    work.resolve("at last");
    expect(await running).toEqual({ value: "at last", replayed: false, stored: true });
  });

  it("is lost when the store cannot be reached in time: the operation is told, and its result refused if another took over", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["renew"]) });
    const work = later<string>();
    let seen: AbortSignal | undefined;
    const running = orders.run({ key: "k" }, ({ signal }) => {
      seen = signal;
      return work.promise;
    });
    const outcome = code(running);
    await underway();
    await clock.advance("9999ms");
    expect(seen?.aborted).toBe(false);
    await clock.advance("1ms");
    expect(seen?.reason).toMatchObject({ code: "LEASE_LOST" });
    expect(await outcome).toBe("LEASE_LOST");
    const successor = await open({ onInDoubt: "run" }).run({ key: "k" }, () => "successor's");
    expect(successor.value).toBe("successor's");
    work.resolve("zombie's");
    await underway();
    expect((await open().run({ key: "k" }, () => 1)).value).toBe("successor's");
  });

  it("is still enough for a result that comes after it ran out, if nobody took over", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["renew"]) });
    const work = later<string>();
    const running = code(orders.run({ key: "k" }, () => work.promise));
    await underway();
    await clock.advance("11s");
    expect(await running).toBe("LEASE_LOST");
    work.resolve("late");
    await underway();
    expect((await open().run({ key: "k" }, () => 1)).value).toBe("late");
  });

  it("does not notice a jump of the wall clock (survival row 1)", async () => {
    const orders = open();
    const work = later<string>();
    const running = orders.run({ key: "k" }, () => work.promise);
    await underway();
    clock.jumpWallClock(-3_600_000);
    clock.jumpWallClock(7_200_000);
    await clock.advance("20s");
    work.resolve("done");
    expect((await running).stored).toBe(true);
  });
});

describe("a caller's abort", () => {
  it("before it began runs nothing, and rejects with the caller's own reason", async () => {
    const reason = { mine: true };
    await expect(open().run({ key: "k", signal: AbortSignal.abort(reason) }, () => 1)).rejects.toBe(reason);
    expect((await open().run({ key: "k" }, () => "free")).value).toBe("free");
  });

  it("ends the wait at once; the operation is told, and what it comes to is recorded", async () => {
    const orders = open();
    const stop = new AbortController();
    const work = later<string>();
    let told: unknown;
    const running = orders.run({ key: "k", signal: stop.signal }, ({ signal }) => {
      signal.addEventListener("abort", () => (told = signal.reason));
      return work.promise;
    });
    await underway();
    stop.abort("enough");
    await expect(running).rejects.toBe("enough");
    expect(told).toBe("enough");
    expect(await code(open().run({ key: "k" }, () => 1))).toBe("IDEMPOTENCY_IN_FLIGHT");
    work.resolve("done all the same");
    await underway();
    expect((await open().run({ key: "k" }, () => 1)).value).toBe("done all the same");
  });

  it("leaves the key in doubt when the operation heeds it, since nobody knows how far it got", async () => {
    const orders = open();
    const stop = new AbortController();
    const running = orders.run(
      { key: "k", signal: stop.signal },
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    );
    await underway();
    stop.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    await underway();
    expect(await code(orders.run({ key: "k" }, () => 1))).toBe("IDEMPOTENCY_IN_DOUBT");
  });

  it("while the key is asked for takes the question back", async () => {
    const orders = open({ store: broken([{ kind: "latency", delay: "1s" }], ["begin"]) });
    const stop = new AbortController();
    const running = orders.run({ key: "k", signal: stop.signal }, () => "never run");
    await underway();
    stop.abort("enough");
    await expect(running).rejects.toBe("enough");
    await settled(clock.sleep("2s"));
    expect((await open().run({ key: "k" }, () => "free")).value).toBe("free");
  });

  it("leaves no listener and no timer behind, however a call ends", async () => {
    const stop = new AbortController();
    const check = leakCheck({ signals: [stop.signal], clocks: [clock] });
    const orders = open();
    await orders.run({ key: "a", signal: stop.signal }, () => 1);
    await orders.run({ key: "a", signal: stop.signal }, () => 1);
    await code(orders.run({ key: "b", signal: stop.signal }, () => Promise.reject(new Error("x"))));
    await code(orders.run({ key: "a", body: 1, signal: stop.signal }, () => 1));
    check.assertNone();
  });
});

describe("a store that fails", () => {
  it("is asked again by the same owner: a lost reply costs nothing", async () => {
    const orders = open({ store: broken([{ kind: "lost-reply" }], ["begin"]) });
    expect(await settled(orders.run({ key: "k" }, () => "once"))).toMatchObject({
      value: "once",
      stored: true,
    });
  });

  it("may lose the reply to the record: it is written once more, with the same outcome", async () => {
    const orders = open({ store: broken([{ kind: "lost-reply" }, { kind: "error" }], ["complete"]) });
    expect(await settled(orders.run({ key: "k" }, () => "once"))).toMatchObject({ stored: true });
    expect((await open().run({ key: "k" }, () => 1)).value).toBe("once");
  });

  it("closed: nothing is run when it cannot be asked", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["begin"]) });
    let runs = 0;
    await expect(settled(orders.run({ key: "k" }, () => (runs += 1)))).rejects.toThrow();
    expect(runs).toBe(0);
  });

  it("closed: one that never answers ends the call within its time, with an error that says so", async () => {
    const orders = open({ store: broken(() => ({ kind: "hang" }), ["begin"]) });
    expect(await code(settled(orders.run({ key: "k" }, () => 1)))).toBe("STORE_UNAVAILABLE");
    expect(clock.monotonic()).toBeLessThan(10_000);
  });

  it("open: the operation is run unprotected, with fence 0", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["begin"]), onStoreError: "open" });
    const outcome = await settled(orders.run({ key: "k" }, ({ fence }) => fence));
    expect(outcome).toEqual({ value: 0, replayed: false, stored: false });
  });

  it("says that a result is not on record, and the key is in doubt once the lock has run out", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["complete"]) });
    expect(await settled(orders.run({ key: "k" }, () => "done"))).toEqual({
      value: "done",
      replayed: false,
      stored: false,
    });
    await clock.advance("10s");
    expect(await code(open().run({ key: "k" }, () => 1))).toBe("IDEMPOTENCY_IN_DOUBT");
  });

  it("does not hide an operation's error when that cannot be recorded", async () => {
    const orders = open({ store: broken(() => ({ kind: "error" }), ["fail"]) });
    await expect(settled(orders.run({ key: "k" }, () => Promise.reject(new Error("mine"))))).rejects.toThrow(
      "mine",
    );
  });

  it("full, refuses new keys and forgets no live one", async () => {
    store = memoryIdempotencyStore({ clock, maxKeys: 2 });
    const orders = open({ storeAttempts: 1 });
    await orders.run({ key: "a" }, () => 1);
    await orders.run({ key: "b" }, () => 2);
    expect(await code(orders.run({ key: "c" }, () => 3))).toBe("STORE_UNAVAILABLE");
    expect((await orders.run({ key: "a" }, () => 9)).value).toBe(1);
    await clock.advance("2d");
    expect((await orders.run({ key: "c" }, () => 3)).value).toBe(3);
  });
});

describe("what idempotency tells", () => {
  it("publishes each step, and a subscriber that throws changes nothing", async () => {
    const steps: string[] = [];
    const stop = channel<IdempotencyEvent>("core", "idempotency").subscribe(({ step }) => {
      steps.push(step);
      throw new Error("subscriber");
    });
    const orders = open();
    await orders.run({ key: "a" }, () => 1);
    await orders.run({ key: "a" }, () => 1);
    await code(orders.run({ key: "a", body: 2 }, () => 1));
    await code(orders.run({ key: "b" }, () => Promise.reject(new TimeoutError("x", 1))));
    await code(orders.run({ key: "b" }, () => 1));
    stop();
    expect(steps).toEqual([
      "acquired",
      "completed",
      "replayed",
      "mismatch",
      "acquired",
      "failed",
      "in_doubt",
    ]);
  });
});

class HoldfastTest extends HoldfastError {
  override readonly code = "OUT_OF_STOCK";
}

async function fingerprintOfNothing(): Promise<string> {
  const { fingerprintOf } = await import("@holdfast/core");
  return fingerprintOf(undefined);
}
