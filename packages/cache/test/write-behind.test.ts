import { getEventListeners } from "node:events";
import type {
  Cacheable,
  CacheKey,
  LoadContext,
  WriteBehind,
  WriteBehindOptions,
  WriteContext,
} from "@holdfast/cache";
import { createCache, memoryWriteLog, writeBehind } from "@holdfast/cache";
import { channel, constant } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import { faulty, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

/** A call to the source that has not ended. */
interface Call extends WriteContext {
  readonly key: string;
  readonly value: string;
  readonly end: () => void;
  readonly fail: (error: Error) => void;
}

/** A source whose writes end when they are told to. */
class SlowSource {
  readonly values = new Map<string, string>();
  readonly calls: Call[] = [];
  readonly history: string[] = [];

  readonly write = (key: string, value: string, context: WriteContext): Promise<void> =>
    new Promise((resolve, reject) => {
      this.history.push(`${key}=${value}`);
      const leave = (): void => void this.calls.splice(this.calls.indexOf(call), 1);
      const call: Call = {
        ...context,
        key,
        value,
        end: () => {
          leave();
          this.values.set(key, value);
          resolve();
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      this.calls.push(call);
      context.signal.addEventListener("abort", () => call.fail(context.signal.reason as Error));
    });

  call(key: string): Call {
    return this.calls.find((call) => call.key === key) ?? expect.fail(`${key} is not being written`);
  }
}

const LOADING: LoadContext<never> = {
  signal: new AbortController().signal,
  previous: undefined,
  reason: "miss",
};

function setUp(options: Partial<WriteBehindOptions<string, string>> = {}): {
  clock: ManualClock;
  source: SlowSource;
  behind: WriteBehind<string, string>;
} {
  const clock = manualClock();
  const source = new SlowSource();
  const behind = writeBehind({
    clock,
    log: memoryWriteLog({ clock }),
    write: source.write,
    load: async (key) => source.values.get(key),
    ...options,
  });
  return { clock, source, behind };
}

const letPass = (clock: ManualClock): Promise<void> => clock.advance(0);

describe("write", () => {
  it(row(62, "is over before the source is written to, which follows after the delay"), async () => {
    const { clock, source, behind } = setUp({ delay: "1s" });
    await behind.write("a", "1");
    await clock.advance("999ms");
    expect(source.history).toEqual([]);
    await clock.advance("1ms");
    source.call("a").end();
    await letPass(clock);
    expect(source.values.get("a")).toBe("1");
    expect(await behind.stats()).toMatchObject({ pending: 0, dead: 0 });
    await behind.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("writes only the newest of those that come within the delay", async () => {
    const { clock, source, behind } = setUp();
    for (let n = 1; n <= 50; n += 1) await behind.write("a", `${n}`);
    await clock.advance("1s");
    expect(source.history).toEqual(["a=50"]);
    source.call("a").end();
    await behind.close();
  });

  it("never writes a key twice at a time, and never an older value after a newer one", async () => {
    const { clock, source, behind } = setUp({ delay: 0 });
    await behind.write("a", "1");
    await letPass(clock);
    await behind.write("a", "2");
    await behind.write("a", "3");
    await clock.advance("10s");
    expect(source.calls.map(({ value }) => value)).toEqual(["1"]);
    source.call("a").end();
    await clock.advance("1s");
    expect(source.calls.map(({ value }) => value)).toEqual(["3"]);
    source.call("a").end();
    await behind.close();
    expect(source.history).toEqual(["a=1", "a=3"]);
  });

  it("writes at most so many keys at a time", async () => {
    const { clock, source, behind } = setUp({ concurrency: 3, delay: 0 });
    for (let n = 0; n < 10; n += 1) await behind.write(`k${n}`, "1");
    await clock.advance("1s");
    expect(source.calls).toHaveLength(3);
    source.calls[0]!.end();
    await clock.advance("1s");
    expect(source.calls).toHaveLength(3);
    expect(behind.snapshot().writing).toBe(3);
    while (source.calls.length > 0) {
      source.calls[0]!.end();
      await clock.advance("1s");
    }
    expect(source.values.size).toBe(10);
    await behind.close();
  });

  it("is in the order of the calls, whether or not they are waited for", async () => {
    const clock = manualClock();
    const log = memoryWriteLog({ clock });
    // Each append takes less time than the one before it.
    let appends = 0;
    const slow = faulty(log, {
      clock,
      methods: ["append"],
      plan: () => ({ kind: "latency", delay: Math.max(1, 100 - 30 * (appends += 1)) }),
    });
    const { source, behind } = setUp({ clock, log: slow, delay: 0 });
    const writes = Promise.all(["1", "2", "3", "4"].map((value) => behind.write("a", value)));
    await clock.advance("1s");
    await writes;
    expect(await behind.load("a", LOADING)).toBe("4");
    // Those that waited for the first went as one.
    expect(appends).toBe(2);
    while (source.calls.length > 0) {
      source.calls[0]!.end();
      await clock.advance("1s");
    }
    expect(source.values.get("a")).toBe("4");
    await behind.close();
  });

  it("keeps keys apart that are no texts, and gives them back as they were", async () => {
    const clock = manualClock();
    const written: CacheKey[] = [];
    const behind = writeBehind<CacheKey, string>({
      clock,
      log: memoryWriteLog({ clock }),
      write: (key) => void written.push(key),
      delay: 0,
    });
    const keys: CacheKey[] = ["1", 1, ["1"], [1], ["a", "b"], ["a,b"], "\0", "\uD800", "__proto__", 1.5];
    for (const key of keys) await behind.write(key, "x");
    await clock.advance("1s");
    expect(written).toEqual(keys);
    await expect(behind.write({} as never, "x")).rejects.toThrow('"key"');
    await behind.close();
  });

  it("refuses what JSON would lose, and takes it with a codec that keeps it", async () => {
    const clock = manualClock();
    const json = writeBehind<string, Cacheable>({ log: memoryWriteLog({ clock }), clock, write: () => {} });
    for (const value of [NaN, Infinity, 1n, Symbol("a"), () => {}])
      await expect(json.write("a", value)).rejects.toMatchObject({ code: "INVALID_OPTION", option: "value" });
    for (const value of [null, false, 0, "", { a: [1] }]) {
      await json.write("a", value);
      expect(await json.load("a", LOADING)).toEqual(value);
    }
    await json.close();

    const codec = {
      encode: (value: number) => `\0${value}\uD800`,
      decode: (text: string) => Number(text.slice(1, -1)),
    };
    const written: number[] = [];
    const own = writeBehind<string, number>({
      log: memoryWriteLog({ clock }),
      clock,
      codec,
      delay: 0,
      write: (_, value) => void written.push(value),
    });
    await own.write("a", NaN);
    expect(await own.load("a", LOADING)).toBeNaN();
    await clock.advance("1s");
    expect(written).toEqual([NaN]);
    await own.close();
  });
});

describe("load", () => {
  it("gives the pending value, and asks the source only when there is none", async () => {
    const { clock, source, behind } = setUp();
    source.values.set("a", "old");
    await behind.write("a", "new");
    expect(await behind.load("a", LOADING)).toBe("new");
    await clock.advance("1s");
    expect(await behind.load("a", LOADING)).toBe("new");
    source.call("a").fail(new Error("down"));
    await letPass(clock);
    expect(await behind.load("a", LOADING)).toBe("new");
    await clock.advance("1s");
    source.call("a").end();
    await letPass(clock);
    expect(await behind.load("a", LOADING)).toBe("new");
    expect(await behind.load("b", LOADING)).toBeUndefined();
    await behind.close();
  });

  it("fails when the log cannot be asked, and when a pending value cannot be read: the source may be behind", async () => {
    const clock = manualClock();
    let isDown = false;
    const log = faulty(memoryWriteLog({ clock }), {
      plan: () => (isDown ? { kind: "error" } : undefined),
    });
    let reads = (text: string): string => text;
    const codec = { encode: (value: string) => value, decode: (text: string) => reads(text) };
    const { source, behind } = setUp({ clock, log, codec, delay: "1m" });
    source.values.set("a", "old");
    await behind.write("a", "new");
    isDown = true;
    await expect(behind.load("a", LOADING)).rejects.toThrow("ECONNREFUSED");
    isDown = false;
    reads = () => {
      throw new Error("not mine");
    };
    await expect(behind.load("a", LOADING)).rejects.toMatchObject({
      code: "WRITE_UNREADABLE",
      cause: new Error("not mine"),
    });
    expect(behind.snapshot().logFailures).toBe(1);
    await behind.close({ within: 0 });
  });

  it("keeps a cache whose entry was dropped from showing the source's old value", async () => {
    const { clock, source, behind } = setUp();
    source.values.set("a", "old");
    const cache = createCache({ clock, load: behind.load, write: behind.write, maxEntries: 1 });
    await cache.put("a", "new");
    await cache.put("b", "evicts a");
    expect(await cache.get("a")).toBe("new");
    await cache.close();
    await behind.close({ within: 0 });
  });
});

describe("a failure of the source", () => {
  it("is tried again after the backoff, and told which attempt it is", async () => {
    const { clock, source, behind } = setUp({ delay: 0, backoff: constant("10s") });
    await behind.write("a", "1");
    await letPass(clock);
    const fences = [source.call("a").fence];
    source.call("a").fail(new Error("down"));
    await clock.advance("9s");
    expect(source.calls).toEqual([]);
    await clock.advance("1s");
    expect(source.call("a").attempt).toBe(2);
    fences.push(source.call("a").fence);
    expect(fences[1]).toBeGreaterThan(fences[0]!);
    source.call("a").end();
    await letPass(clock);
    expect(behind.snapshot()).toMatchObject({ written: 1, failures: 1 });
    await behind.close();
  });

  it("is tried again in time, however long the delay of writes is", async () => {
    const { clock, source, behind } = setUp({ delay: "1h", backoff: constant("1s") });
    await behind.write("a", "1");
    await clock.advance("1h");
    source.call("a").fail(new Error("down"));
    await clock.advance("1s");
    expect(source.call("a").attempt).toBe(2);
    source.call("a").end();
    await behind.close();
  });

  it("becomes a dead letter after its last attempt, which can be looked at, tried again and forgotten", async () => {
    const { clock, source, behind } = setUp({ delay: 0, attempts: 3, backoff: constant("1s") });
    await behind.write("a", "1");
    await behind.write("b", "1");
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      await clock.advance("1s");
      while (source.calls.length > 0) source.calls[0]!.fail(new RangeError(`no ${attempt}`));
      await letPass(clock);
    }
    expect(await behind.stats()).toMatchObject({ pending: 0, dead: 2 });
    const letters = await behind.deadLetters.list();
    expect(letters).toMatchObject([
      { key: "a", value: "1", attempts: 3, error: "RangeError: no 3" },
      { key: "b", value: "1", attempts: 3 },
    ]);
    expect(await behind.deadLetters.list({ limit: 1, offset: 1 })).toHaveLength(1);
    // It was given up: the source is what counts.
    expect(await behind.load("a", LOADING)).toBeUndefined();
    expect(await behind.deadLetters.redrive(["a"])).toBe(1);
    await clock.advance("1s");
    source.call("a").end();
    await letPass(clock);
    expect(source.values.get("a")).toBe("1");
    expect(await behind.deadLetters.discard(["b", "c"])).toBe(1);
    expect(await behind.deadLetters.list()).toEqual([]);
    await behind.close();
  });

  it("does not bring a dead letter back after something newer", async () => {
    const { clock, source, behind } = setUp({ delay: 0, judge: () => "dead" });
    await behind.write("a", "old");
    await letPass(clock);
    source.call("a").fail(new Error("invalid"));
    await letPass(clock);
    expect(await behind.stats()).toMatchObject({ dead: 1 });
    await behind.write("a", "new");
    await letPass(clock);
    source.call("a").end();
    await letPass(clock);
    expect(await behind.deadLetters.redrive()).toBe(0);
    expect(source.history).toEqual(["a=old", "a=new"]);
    await behind.close();
  });

  it("counts as no attempt when it is judged to say nothing about the write", async () => {
    const { clock, source, behind } = setUp({
      delay: 0,
      attempts: 2,
      backoff: constant("1s"),
      judge: ({ message }) => (message === "down" ? "wait" : "retry"),
    });
    await behind.write("a", "1");
    for (let n = 0; n < 10; n += 1) {
      await clock.advance("1s");
      expect(source.call("a").attempt).toBe(1);
      source.call("a").fail(new Error("down"));
      await letPass(clock);
    }
    await clock.advance("1s");
    source.call("a").end();
    await behind.close();
    expect(source.values.get("a")).toBe("1");
  });

  it("aborts a write that takes too long, and tries it again under a higher fence", async () => {
    const clock = manualClock();
    const seen: WriteContext[] = [];
    const { behind } = setUp({
      clock,
      log: memoryWriteLog({ clock }),
      delay: 0,
      writeDeadline: "5s",
      backoff: constant("1s"),
      // The first never ends, whatever its signal says.
      write: (_key, _value, context) => {
        seen.push(context);
        return seen.length === 1 ? new Promise(() => {}) : undefined;
      },
    });
    await behind.write("a", "1");
    await clock.advance("5s");
    expect(seen[0]!.signal.reason).toMatchObject({ code: "TIMEOUT", timeoutMs: 5_000 });
    await clock.advance("1s");
    expect(seen).toHaveLength(2);
    expect(seen[1]!.fence).toBeGreaterThan(seen[0]!.fence);
    expect(await behind.stats()).toMatchObject({ pending: 0 });
    await behind.close();
  });
});

describe("writeMany", () => {
  it("is given what is due together, and may fail entry by entry", async () => {
    const clock = manualClock();
    const batches: string[][] = [];
    const behind = writeBehind<string, number>({
      clock,
      log: memoryWriteLog({ clock }),
      concurrency: 1,
      maxBatch: 3,
      backoff: constant("1s"),
      writeMany: async (entries) => {
        batches.push(entries.map(({ key, value, attempt }) => `${key}=${value}#${attempt}`));
        return entries.map(({ key, attempt }) =>
          key === "b" && attempt === 1 ? new Error("no") : undefined,
        );
      },
    });
    for (const [index, key] of ["a", "b", "c", "d"].entries()) await behind.write(key, index);
    await clock.advance("10s");
    expect(batches).toEqual([["a=0#1", "b=1#1", "c=2#1"], ["d=3#1"], ["b=1#2"]]);
    expect(behind.snapshot()).toMatchObject({ written: 4, failures: 1 });
    await behind.close();
  });

  it("has failed for all of its entries when it throws", async () => {
    const clock = manualClock();
    let isDown = true;
    const written: string[] = [];
    const behind = writeBehind<string, number>({
      clock,
      log: memoryWriteLog({ clock }),
      backoff: constant("1s"),
      writeMany: (entries) => {
        if (isDown) throw new Error("down");
        written.push(...entries.map(({ key }) => key));
      },
    });
    for (const key of ["a", "b"]) await behind.write(key, 1);
    await clock.advance("500ms");
    expect(behind.snapshot()).toMatchObject({ written: 0, failures: 2 });
    isDown = false;
    await clock.advance("10s");
    expect(written).toEqual(["a", "b"]);
    await behind.close();
  });
});

describe("a full log", () => {
  it("refuses new keys with an error of its own, and takes newer values of those it has", async () => {
    const { clock, source, behind } = setUp({ maxKeys: 2 });
    await behind.write("a", "1");
    await behind.write("b", "1");
    await expect(behind.write("c", "1")).rejects.toMatchObject({ code: "WRITE_BEHIND_FULL", keys: 2 });
    await behind.write("a", "2");
    await clock.advance("1s");
    source.call("a").end();
    await letPass(clock);
    await behind.write("c", "1");
    await behind.close({ within: 0 });
  });

  it("lets writes wait for room in their order, at most so many, for so long at most", async () => {
    const { clock, source, behind } = setUp({
      maxKeys: 1,
      delay: 0,
      whenFull: { wait: "10s" },
      maxWaiting: 3,
      writeDeadline: "1h",
    });
    const done: string[] = [];
    const watch = (key: string, value: string, signal?: AbortSignal): Promise<unknown> =>
      behind.write(key, value, { signal }).then(
        () => done.push(`${key}=${value}`),
        (error: { code?: string; message: string }) => done.push(`${key}: ${error.code ?? error.message}`),
      );
    await behind.write("a", "1");
    await letPass(clock);
    const leaver = new AbortController();
    const waits = [watch("b", "1"), watch("c", "1", leaver.signal), watch("d", "1")];
    await letPass(clock);
    // It is behind the one that waits already, in whose place it comes.
    waits.push(watch("b", "2"));
    waits.push(watch("e", "1"));
    await letPass(clock);
    expect(done).toEqual(["e: WRITE_BEHIND_FULL"]);
    expect(behind.snapshot().waiting).toBe(3);
    leaver.abort(new Error("left"));
    await letPass(clock);
    expect(done.splice(0)).toEqual(["e: WRITE_BEHIND_FULL", "c: left"]);
    source.call("a").end();
    await letPass(clock);
    expect(done.splice(0)).toEqual(["b=1", "b=2"]);
    expect(source.call("b").value).toBe("2");
    await clock.advance("10s");
    expect(done.splice(0)).toEqual(["d: WRITE_BEHIND_FULL"]);
    await Promise.all(waits);
    source.call("b").end();
    await behind.close();
    expect(source.values).toEqual(
      new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    );
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("flush and close", () => {
  it(
    row(62, "flush waits until all that was written before it is in the source, whatever comes meanwhile"),
    async () => {
      const { clock, source, behind } = setUp({ delay: "1h" });
      await behind.write("a", "1");
      await behind.write("b", "1");
      let isDone = false;
      const flush = behind.flush().then(() => (isDone = true));
      await letPass(clock);
      await behind.write("a", "2");
      source.call("a").end();
      await letPass(clock);
      expect(isDone).toBe(false);
      source.call("b").end();
      await clock.advance("100ms");
      await flush;
      expect(source.values.get("b")).toBe("1");
      await behind.close({ within: 0 });
    },
  );

  it("flush leaves with its signal", async () => {
    const { clock, behind } = setUp({ delay: 0 });
    await behind.write("a", "1");
    const controller = new AbortController();
    const flush = behind.flush({ signal: controller.signal });
    await letPass(clock);
    controller.abort(new Error("enough"));
    await expect(flush).rejects.toThrow("enough");
    await expect(behind.flush({ signal: controller.signal })).rejects.toThrow("enough");
    const closing = behind.close({ within: 0 });
    await clock.advance("10s");
    await closing;
    expect(clock.pendingTimers).toBe(0);
  });

  it(row(62, "close flushes, and takes no more"), async () => {
    const { clock, source, behind } = setUp({ delay: "1h" });
    await behind.write("a", "1");
    const closing = behind.close();
    await letPass(clock);
    expect(behind.snapshot().state).toBe("closing");
    await expect(behind.write("b", "1")).rejects.toMatchObject({ code: "CLOSED" });
    source.call("a").end();
    expect(await closing).toBe(0);
    expect(source.values.get("a")).toBe("1");
    await expect(behind.flush()).rejects.toMatchObject({ code: "CLOSED" });
    expect(await behind.close()).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("close ends within its time: writes under way are aborted, and what is left stays in the log", async () => {
    const clock = manualClock();
    const log = memoryWriteLog({ clock });
    const { source, behind } = setUp({ clock, log, delay: 0 });
    await behind.write("a", "1");
    await letPass(clock);
    const { signal } = source.call("a");
    const closing = behind.close({ within: "3s" });
    await clock.advance("3s");
    expect(signal.reason).toMatchObject({ code: "CLOSED" });
    expect(await closing).toBe(1);
    expect(clock.pendingTimers).toBe(0);
    // Whoever has the log next begins with it at once, and the attempt has not counted.
    const next = setUp({ clock, log });
    await letPass(clock);
    expect(next.source.call("a")).toMatchObject({ value: "1", attempt: 1 });
    next.source.call("a").end();
    await next.behind.close();
  });

  it("close ends flushes that it leaves without their end", async () => {
    const { clock, behind } = setUp({ delay: 0 });
    await behind.write("a", "1");
    const refused = expect(behind.flush()).rejects.toMatchObject({ code: "CLOSED" });
    await letPass(clock);
    const closing = behind.close({ within: 0 });
    await clock.advance("10s");
    expect(await closing).toBe(1);
    await refused;
    expect(clock.pendingTimers).toBe(0);
  });

  it("close refuses who waits for room", async () => {
    const { clock, source, behind } = setUp({ maxKeys: 1, delay: 0, whenFull: { wait: "1m" } });
    await behind.write("a", "1");
    const refused = expect(behind.write("b", "1")).rejects.toMatchObject({ code: "CLOSED" });
    await letPass(clock);
    const closing = behind.close();
    await refused;
    source.call("a").end();
    await closing;
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("a signal", () => {
  it("is left without listeners, however the call ends", async () => {
    const { clock, source, behind } = setUp({ maxKeys: 1, delay: 0, whenFull: { wait: "1s" } });
    const { signal } = new AbortController();
    await behind.write("a", "1", { signal });
    const late = expect(behind.write("b", "1", { signal })).rejects.toMatchObject({
      code: "WRITE_BEHIND_FULL",
    });
    await clock.advance("1s");
    await late;
    const flush = behind.flush({ signal });
    await letPass(clock);
    source.call("a").end();
    await flush;
    expect(getEventListeners(signal, "abort")).toEqual([]);
    await behind.close();
  });

  it("that is aborted already keeps everything from being done", async () => {
    const { behind } = setUp();
    const signal = AbortSignal.abort(new Error("left"));
    await expect(behind.write("a", "1", { signal })).rejects.toThrow("left");
    await expect(behind.flush({ signal })).rejects.toThrow("left");
    await expect(behind.deadLetters.redrive(undefined, { signal })).rejects.toThrow("left");
    expect(await behind.stats()).toMatchObject({ pending: 0 });
    await behind.close();
  });
});

describe("a log that fails", () => {
  it("is asked again, and a write that is in the source is told once the log answers", async () => {
    const clock = manualClock();
    let isDown = false;
    const log = faulty(memoryWriteLog({ clock }), { plan: () => (isDown ? { kind: "error" } : undefined) });
    const { source, behind } = setUp({ clock, log, delay: 0, lease: "10s" });
    await behind.write("a", "1");
    await letPass(clock);
    isDown = true;
    source.call("a").end();
    await clock.advance("1m");
    expect(behind.snapshot().logFailures).toBeGreaterThan(10);
    await expect(behind.write("b", "1")).rejects.toThrow("ECONNREFUSED");
    isDown = false;
    await clock.advance("5s");
    expect(await behind.stats()).toMatchObject({ pending: 0 });
    expect(source.history).toEqual(["a=1"]);
    await behind.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("aborts a write whose lease could not be renewed before it runs out", async () => {
    const clock = manualClock();
    let isDown = false;
    const log = faulty(memoryWriteLog({ clock }), { plan: () => (isDown ? { kind: "error" } : undefined) });
    const { source, behind } = setUp({ clock, log, delay: 0, lease: "10s" });
    await behind.write("a", "1");
    await letPass(clock);
    const { signal } = source.call("a");
    isDown = true;
    await clock.advance("7s");
    expect(signal.aborted).toBe(false);
    await clock.advance("2s");
    expect(signal.reason).toMatchObject({ code: "LEASE_LOST" });
    isDown = false;
    await clock.advance("2s");
    expect(source.call("a").attempt).toBe(1);
    source.call("a").end();
    await behind.close();
  });
});

describe("two processes on one log", () => {
  it("one takes over what the other does not renew, under a higher fence, and the other's end is refused", async () => {
    const clock = manualClock();
    const log = memoryWriteLog({ clock });
    let isFrozen = false;
    const frozenLog = faulty(log, { plan: () => (isFrozen ? { kind: "hang" } : undefined) });
    const shared = { delay: 0, lease: "10s" } as const;
    const first = setUp({ clock, log: frozenLog, ...shared });
    const second = setUp({ clock, log, ...shared });
    await first.behind.write("a", "1");
    await letPass(clock);
    const old = first.source.call("a");
    // Its clock goes on here, which that of a frozen process does not: it never tells the source to stop.
    isFrozen = true;
    await second.behind.write("b", "1");
    await clock.advance("1s");
    second.source.call("b").end();
    await clock.advance("20s");
    const taken = second.source.call("a");
    expect(taken.fence).toBeGreaterThan(old.fence);
    expect(taken.attempt).toBe(2);
    isFrozen = false;
    taken.end();
    await clock.advance("20s");
    expect(await second.behind.stats()).toMatchObject({ pending: 0, dead: 0 });
    await second.behind.close();
    const closing = first.behind.close({ within: 0 });
    await clock.advance("10s");
    await closing;
  });

  it("give up what has ended the process that wrote it as often as there are attempts", async () => {
    const clock = manualClock();
    const log = memoryWriteLog({ clock });
    await log.append({ key: '"a"', value: '"1"', delayMs: 0, maxKeys: 10 });
    for (let crash = 0; crash < 2; crash += 1) {
      await log.claim({ limit: 1, leaseMs: 10, early: false });
      await clock.advance(10);
    }
    const { source, behind } = setUp({ clock, log, attempts: 2 });
    await clock.advance("1s");
    expect(source.history).toEqual([]);
    const [letter] = await behind.deadLetters.list();
    expect(letter?.error).toContain("2 attempts");
    await behind.close();
  });
});

describe("what it tells", () => {
  it("publishes how each attempt has ended, and failures of the log", async () => {
    const events: object[] = [];
    const stops = [
      channel<object>("cache", "write_behind").subscribe((event) => events.push(event)),
      channel<object>("cache", "write_log").subscribe((event) => events.push(event)),
    ];
    const clock = manualClock();
    let isDown = false;
    const log = faulty(memoryWriteLog({ clock }), { plan: () => (isDown ? { kind: "error" } : undefined) });
    const { source, behind } = setUp({
      name: "stock",
      clock,
      log,
      delay: 0,
      attempts: 2,
      backoff: constant("1s"),
    });
    await behind.write("a", "1");
    await clock.advance("10ms");
    source.call("a").fail(new Error("down"));
    await clock.advance("1s");
    source.call("a").end();
    await letPass(clock);
    isDown = true;
    await behind.load("a", LOADING).catch(() => {});
    expect(events).toEqual([
      { writeBehind: "stock", outcome: "retry", attempt: 1, durationMs: 10, error: new Error("down") },
      { writeBehind: "stock", outcome: "written", attempt: 2, durationMs: 0 },
      { writeBehind: "stock", doing: "read", error: expect.any(Error) as Error },
    ]);
    for (const stop of stops) stop();
    await behind.close({ within: 0 });
  });

  it("has a snapshot in plain JSON", async () => {
    const { behind } = setUp({ name: "stock" });
    await behind.write("a", "1");
    const snapshot = behind.snapshot();
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
    expect(snapshot).toMatchObject({ kind: "write-behind", name: "stock", state: "open", accepted: 1 });
    await behind.close({ within: 0 });
  });
});

describe("options", () => {
  it.each([
    ["log", { log: {} }],
    ["write", { write: undefined }],
    ["write", { writeMany: () => {} }],
    ["codec", { codec: {} }],
    ["delay", { delay: -1 }],
    ["concurrency", { concurrency: 0 }],
    ["attempts", { attempts: 0 }],
    ["lease", { lease: 1 }],
    ["maxKeys", { maxKeys: 0 }],
    ["whenFull", { whenFull: "wait" }],
    ["whenFull.wait", { whenFull: { wait: 0 } }],
  ])("refuses a wrong %s", (option, wrong) => {
    const given = { log: memoryWriteLog(), write: () => {}, ...wrong };
    const make = (): unknown => writeBehind(given as unknown as WriteBehindOptions<string, string>);
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_OPTION", option }));
  });
});
