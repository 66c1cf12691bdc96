import type {
  Bulkhead,
  BulkheadFullError,
  BulkheadOptions,
  BulkheadRefusedEvent,
  BulkheadRunOptions,
} from "@holdfast/breaker";
import { adaptiveConcurrency, bulkhead, fairBulkhead } from "@holdfast/breaker";
import { channel, pipeline, timeout } from "@holdfast/core";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";

const clock = manualClock();

function open(options: Partial<BulkheadOptions> = {}): Bulkhead {
  return bulkhead({ concurrent: 1, queue: 10, clock, ...options });
}

interface Held {
  readonly ended: Promise<unknown>;
  finish(): void;
  fail(error: unknown): void;
}

/** Calls that a test ends when it wants to; `log` has the names of those that were started. */
function caller(run: (task: () => Promise<unknown>, options?: BulkheadRunOptions) => Promise<unknown>) {
  const log: string[] = [];
  const call = (name: string, options?: BulkheadRunOptions): Held => {
    let finish!: () => void;
    let fail!: (error: unknown) => void;
    const work = new Promise<unknown>((resolve, reject) => {
      finish = () => resolve(name);
      fail = reject;
    });
    const ended = run(() => (log.push(name), work), options).catch((error: unknown) => error);
    return { ended, finish, fail };
  };
  return { log, call };
}

describe("bulkhead", () => {
  it("runs as many as it has slots, lets as many wait, and refuses the rest at once", async () => {
    const two = open({ concurrent: 2, queue: 1 });
    const { log, call } = caller((task, options) => two.run(task, options));
    const [a, b, c] = [call("a"), call("b"), call("c")];
    expect(await call("d").ended).toMatchObject({
      code: "BULKHEAD_FULL",
      status: 503,
      reason: "full",
      running: 2,
      waiting: 1,
    });
    expect(log).toEqual(["a", "b"]);
    a.finish();
    expect(await a.ended).toBe("a");
    expect(log).toEqual(["a", "b", "c"]);
    b.finish();
    c.finish();
    await Promise.all([b.ended, c.ended]);
    expect(two.snapshot()).toMatchObject({ running: 0, waiting: 0 });
  });

  it("[bug 2] a newcomer takes no slot before those who wait, and nobody who waits is refused for it", async () => {
    const one = open();
    const { log, call } = caller((task, options) => one.run(task, options));
    const first = call("first");
    const waiting = ["b", "c", "d"].map((name) => call(name));
    first.finish();
    const newcomer = call("newcomer");
    await first.ended;
    expect(log).toEqual(["first", "b"]);
    for (const each of [...waiting, newcomer]) {
      each.finish();
      await each.ended;
    }
    expect(log).toEqual(["first", "b", "c", "d", "newcomer"]);
  });

  it("[bug 3] (survival row 27) an abort ends a wait at once with the caller's reason, and frees the place", async () => {
    const one = open({ queue: 1 });
    const { log, call } = caller((task, options) => one.run(task, options));
    const first = call("first");
    const stop = new AbortController();
    const waiting = call("waiting", { signal: stop.signal });
    stop.abort("enough");
    expect(await waiting.ended).toBe("enough");
    expect(one.waiting).toBe(0);
    const next = call("next");
    first.finish();
    await first.ended;
    expect(log).toEqual(["first", "next"]);
    next.finish();
    await next.ended;
    await expect(one.run(() => 1, { signal: AbortSignal.abort("before") })).rejects.toBe("before");
  });

  it("[bug 3] a deadline ends a wait at once, and frees the place", async () => {
    const one = open({ queue: 1 });
    const { log, call } = caller((task, options) => one.run(task, options));
    const first = call("first");
    const limited = pipeline(timeout("1s", { clock }), one);
    const late = limited.run(() => log.push("late")).catch((error: unknown) => error);
    expect(one.waiting).toBe(1);
    await clock.advance("1s");
    expect(await late).toMatchObject({ code: "TIMEOUT" });
    expect(one.waiting).toBe(0);
    const next = call("next");
    first.finish();
    await first.ended;
    next.finish();
    await next.ended;
    expect(log).toEqual(["first", "next"]);
  });

  it("ends a wait that takes too long", async () => {
    const one = open({ queueTimeout: "1s" });
    const { call } = caller((task, options) => one.run(task, options));
    const first = call("first");
    const late = call("late");
    await clock.advance("1s");
    expect(await late.ended).toMatchObject({ code: "BULKHEAD_FULL", reason: "timeout" });
    first.finish();
    await first.ended;
    expect([one.running, one.waiting]).toEqual([0, 0]);
  });

  it("[bug 13] keeps a slot until the work has really ended, also when a timeout has given it up", async () => {
    const two = open({ concurrent: 2, queue: 0 });
    const guarded = pipeline(timeout("1s", { clock }), two);
    const works: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const call = () =>
      guarded
        .run(() => {
          running += 1;
          most = Math.max(most, running);
          return new Promise<void>((resolve) =>
            works.push(() => {
              running -= 1;
              resolve();
            }),
          );
        })
        .catch((error: unknown) => (error as { code: unknown }).code);
    const outcomes = [call(), call()];
    await clock.advance("1s");
    expect(await Promise.all(outcomes)).toEqual(["TIMEOUT", "TIMEOUT"]);
    expect(await call()).toBe("BULKHEAD_FULL");
    for (const end of works) end();
    await clock.advance(0);
    void call();
    expect([most, two.running]).toEqual([2, 1]);
  });

  it("[bug 28] gives every slot back, however a call ends", async () => {
    const one = open();
    for (const task of [
      () => 1,
      () => Promise.reject(new Error("later")),
      () => {
        throw new Error("at once");
      },
    ])
      await one.run<unknown>(task).catch(() => {});
    const stop = new AbortController();
    const { call } = caller((task, options) => one.run(task, options));
    const aborted = call("aborted", { signal: stop.signal });
    stop.abort("enough");
    aborted.fail(new Error("stopped"));
    expect(await aborted.ended).toBe("enough");
    expect(one.running).toBe(0);
  });

  it("lets the more urgent go first among those who wait, and none of them twice", async () => {
    const one = open();
    const { log, call } = caller((task, options) => one.run(task, options));
    const calls = [
      call("first"),
      call("low", { priority: -5 }),
      call("a", { priority: 1 }),
      call("high", { priority: 9 }),
      call("b", { priority: 1 }),
    ];
    for (const each of [calls[0]!, calls[3]!, calls[2]!, calls[4]!, calls[1]!]) {
      each.finish();
      await each.ended;
    }
    expect(log).toEqual(["first", "high", "a", "b", "low"]);
    await expect(one.run(() => 1, { priority: 1.5 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("leaves no listener and no timer behind", async () => {
    const stop = new AbortController();
    const check = leakCheck({ signals: [stop.signal], clocks: [clock] });
    const one = open({ queueTimeout: "1h" });
    const { call } = caller((task, options) => one.run(task, options));
    const calls = ["a", "b", "c"].map((name) => call(name, { signal: stop.signal }));
    for (const each of calls) {
      each.finish();
      await each.ended;
    }
    check.assertNone();
  });

  it("refuses options out of range, and describes itself", () => {
    expect(() => bulkhead({ concurrent: 0 })).toThrow(/concurrent/);
    expect(() => bulkhead({ concurrent: 1, queue: -1 })).toThrow(/queue/);
    expect(open().describe()).toEqual({
      kind: "bulkhead",
      name: "bulkhead",
      summary: "at most 1 at a time, 10 waiting",
    });
  });
});

describe("a refusal of a bulkhead", () => {
  it("says when to come back, once calls have ended: when those who wait have had their turn", async () => {
    const one = open({ queue: 1 });
    const { call } = caller((task, options) => one.run(task, options));
    const refusal = async (): Promise<unknown> =>
      (((await call("refused").ended) as BulkheadFullError).toProblem() as { retryAfterMs?: number })
        .retryAfterMs;
    const calls = [call("a"), call("b")];
    expect(await refusal()).toBeUndefined();
    // Two calls of 300 ms each.
    for (const next of ["c", "d"]) {
      await clock.advance(300);
      calls.shift()!.finish();
      await clock.advance(0);
      calls.push(call(next));
    }
    expect(await refusal()).toBe(600);
    // What was so long ago says nothing.
    await clock.advance("1h");
    expect(await refusal()).toBeUndefined();
    for (const each of calls) each.finish();
    await Promise.all(calls.map(({ ended }) => ended));
  });

  it("follows the pace of late", async () => {
    const one = open({ queue: 0 });
    const { call } = caller((task, options) => one.run(task, options));
    let running = call("first");
    const after = async (ms: number): Promise<unknown> => {
      await clock.advance(ms);
      running.finish();
      await running.ended;
      running = call("next");
      return ((await call("refused").ended) as BulkheadFullError).retryAfterMs;
    };
    await call("refused").ended;
    for (let each = 0; each < 20; each += 1) await after(100);
    expect(await after(100)).toBe(100);
    await after(2_000);
    expect(await after(2_000)).toBe(2_000);
    running.finish();
    await running.ended;
  });

  it("is made without a look at the stack, and leaves the limit of stacks as it was", async () => {
    const limit = Error.stackTraceLimit;
    const one = open({ queue: 0 });
    const { call } = caller((task, options) => one.run(task, options));
    const first = call("first");
    const error = (await call("refused").ended) as BulkheadFullError;
    expect(error.stack).not.toContain("    at ");
    expect(Error.stackTraceLimit).toBe(limit);
    first.finish();
    await first.ended;
  });

  it("is published by bulkheads of every kind; a throwing subscriber changes nothing", async () => {
    const events: BulkheadRefusedEvent[] = [];
    const stop = channel<BulkheadRefusedEvent>("breaker", "bulkhead_refused").subscribe((event) => {
      events.push(event);
      throw new Error("subscriber");
    });
    const kinds = [
      open({ name: "plain", queue: 0 }),
      fairBulkhead({ name: "fair", concurrent: 1, clock }).for("a"),
      adaptiveConcurrency({ name: "adaptive", initial: 1, max: 1, clock }),
    ];
    for (const kind of kinds) {
      const { call } = caller((task, options) => kind.run(task, options));
      const first = call("first");
      expect(await call("refused").ended).toMatchObject({ code: "BULKHEAD_FULL" });
      first.finish();
      expect(await first.ended).toBe("first");
    }
    stop();
    expect(events.map(({ bulkhead: name }) => name)).toEqual(["plain", "fair", "adaptive"]);
  });
});

describe("fairBulkhead", () => {
  it("lets no weight, however large, keep the others waiting for ever", async () => {
    const shared = fairBulkhead({
      concurrent: 1,
      queuePerKey: 2_000,
      weight: (key) => (key === "huge" ? Infinity : 1),
      clock,
    });
    const log: string[] = [];
    const calls = ["first", ...Array.from({ length: 1_500 }, () => "huge"), "small"].map((key) =>
      shared.for(key).run(() => void log.push(key)),
    );
    await Promise.all(calls);
    expect(log.indexOf("small")).toBe(1_001);
    expect(shared.keys).toBe(0);
  });

  it("gives a tenant one slot in its turn, also when its task asks for more as it begins", async () => {
    const shared = fairBulkhead({ concurrent: 2, queuePerKey: 10, clock });
    const log: string[] = [];
    const ends: (() => void)[] = [];
    const call = (key: string, inner?: string): void => {
      void shared.for(key).run(() => {
        log.push(inner === undefined ? key : `${key}, asks for more`);
        if (inner !== undefined) call(inner);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    };
    for (const key of ["x", "x", "c"]) call(key);
    for (const end of ends.splice(0)) end();
    call("a", "a");
    call("b");
    await clock.advance(0);
    for (let round = 0; round < 4; round += 1) {
      for (const end of ends.splice(0)) end();
      await clock.advance(0);
    }
    expect(log).toEqual(["x", "x", "c", "a, asks for more", "b", "a"]);
    expect([shared.running, shared.waiting, shared.keys]).toEqual([0, 0, 0]);
  });

  it("gives slots in turn to tenants who wait, however many calls each has waiting", async () => {
    const shared = fairBulkhead({ concurrent: 1, queuePerKey: 100, clock });
    const log: string[] = [];
    const ends: (() => void)[] = [];
    const call = (key: string): void => {
      void shared.for(key).run(() => (log.push(key), new Promise<void>((resolve) => ends.push(resolve))));
    };
    call("first");
    for (let n = 0; n < 6; n += 1) call("greedy");
    for (let n = 0; n < 2; n += 1) call("modest");
    for (let turn = 0; turn < 9; turn += 1) {
      ends.shift()?.();
      await clock.advance(0);
    }
    expect(log).toEqual([
      "first",
      "greedy",
      "modest",
      "greedy",
      "modest",
      "greedy",
      "greedy",
      "greedy",
      "greedy",
    ]);
    expect([shared.running, shared.waiting, shared.keys]).toEqual([0, 0, 0]);
  });

  it("gives a key as many slots in a row as it weighs", async () => {
    const shared = fairBulkhead({
      concurrent: 1,
      queuePerKey: 100,
      weight: (key) => (key === "big" ? 2 : 1),
      clock,
    });
    const log: string[] = [];
    const ends: (() => void)[] = [];
    const call = (key: string): void => {
      void shared.for(key).run(() => (log.push(key), new Promise<void>((resolve) => ends.push(resolve))));
    };
    call("x");
    for (let n = 0; n < 6; n += 1) {
      call("big");
      call("small");
    }
    for (let turn = 0; turn < 7; turn += 1) {
      ends.shift()?.();
      await clock.advance(0);
    }
    expect(log.slice(1, 7)).toEqual(["big", "big", "small", "big", "big", "small"]);
  });

  it("bounds each key: slots, waits, and how many keys there may be", async () => {
    const shared = fairBulkhead({ concurrent: 4, concurrentPerKey: 1, queuePerKey: 1, maxKeys: 2, clock });
    const hang = (key: string): Promise<unknown> =>
      shared
        .for(key)
        .run(() => new Promise(() => {}))
        .catch((error: unknown) => (error as { code: unknown }).code);
    void hang("a");
    void hang("a");
    expect(shared.for("a").snapshot()).toMatchObject({ running: 1, waiting: 1 });
    expect(await hang("a")).toBe("BULKHEAD_FULL");
    void hang("b");
    expect(shared.running).toBe(2);
    expect(await hang("c")).toBe("BULKHEAD_FULL");
    expect(shared.snapshot()).toMatchObject({ running: 2, waiting: 1, keys: 2 });
  });

  it("refuses bad options", () => {
    expect(() => fairBulkhead({ concurrent: 0 })).toThrow(/concurrent/);
    expect(() => fairBulkhead({ concurrent: 1 }).for("")).toThrow(/key/);
  });
});
