import { channel } from "@holdfast/core";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import type { Device, DeviceEvent, GpuPool, GpuPoolOptions, RequestEvent } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

const clock = manualClock();

async function open(
  workers = new ScriptedWorkers(),
  options: Partial<GpuPoolOptions> = {},
): Promise<{ pool: GpuPool; workers: ScriptedWorkers }> {
  const pool = gpuPool({ workers, models: [{ name: "m" }], clock, ...options });
  await clock.advance(0);
  return { pool, workers };
}

/** What a promise came to, once it has. */
function watch(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const seen: { value?: unknown; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

describe("gpuPool", () => {
  it(row(181, "loads every model on every device before it takes requests"), async () => {
    const workers = new ScriptedWorkers([
      { id: "a", capacity: 1 },
      { id: "b", capacity: 2 },
    ]);
    const { pool } = await open(workers, { models: [{ name: "m" }, { name: "n", version: "2" }] });
    expect(workers.log.filter((line) => line.startsWith("load"))).toEqual([
      "load m@1 on a",
      "load m@1 on b",
      "load n@2 on a",
      "load n@2 on b",
    ]);
    expect(pool.snapshot()).toMatchObject({ capacity: 3, models: ["m@1", "n@2"] });
    await pool.close();
  });

  it("rejects at once whoever's tenant has no weight, and serves all others", async () => {
    const tenantWeight = (tenant: string): number => {
      if (tenant === "thrown") throw new Error("boom");
      return tenant === "zero" ? 0 : 1;
    };
    const { pool, workers } = await open(new ScriptedWorkers(), { tenantWeight });
    const answers = [pool.run("m", 1, { tenant: "ok" }), pool.run("m", 2, { tenant: "ok" })];
    for (const [tenant, value] of [
      ["thrown", new Error("boom")],
      ["zero", 0],
    ])
      await expect(pool.run("m", 0, { tenant: tenant as string })).rejects.toMatchObject({
        code: "INVALID_OPTION",
        option: "tenantWeight",
        value,
      });
    for (const _ of answers) {
      const [id] = [...workers.running.keys()];
      workers.succeed(id!, "well");
    }
    expect(await Promise.all(answers)).toEqual(["well", "well"]);
    expect(await pool.close()).toEqual({ finished: 0, cut: 0 });
  });

  it("names the limit that refuses a request", async () => {
    const { pool, workers } = await open(new ScriptedWorkers(), { models: [{ name: "m", queueLimit: 1 }] });
    const answers = [pool.run("m", 1), pool.run("m", 2)];
    await expect(pool.run("m", 3)).rejects.toMatchObject({
      code: "POOL_SATURATED",
      limit: "model",
      waiting: 1,
      message: "the model's queue is full: 1 requests are waiting",
    });
    for (const _ of answers) workers.succeed([...workers.running.keys()][0]!, "well");
    expect(await Promise.all(answers)).toEqual(["well", "well"]);
    await pool.close();
  });

  it("is ready once a device is up, and says so until it is closed", async () => {
    let letStart = (): void => {};
    const start = (): Promise<void> => new Promise((resolve) => (letStart = resolve));
    const { pool } = await open(new ScriptedWorkers(undefined, { start }));
    const waiting = watch(pool.ready());
    const stop = new AbortController();
    const aborted = watch(pool.ready({ signal: stop.signal }));
    stop.abort("enough");
    await clock.advance(0);
    expect(waiting).toEqual({});
    expect(aborted).toEqual({ error: "enough" });
    letStart();
    await clock.advance(0);
    expect(waiting).toEqual({ value: undefined });
    await pool.ready();
    await pool.close();
    await expect(pool.ready()).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("tells those who wait for it to be ready that it has closed", async () => {
    const start = (_: unknown, signal: AbortSignal): Promise<void> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
    const { pool } = await open(new ScriptedWorkers(undefined, { start }));
    const waiting = watch(pool.ready());
    await pool.close();
    expect(waiting.error).toMatchObject({ code: "CLOSED" });
  });

  it("runs the version listed last when none is asked for", async () => {
    const { pool, workers } = await open(undefined, {
      models: [{ name: "m" }, { name: "m", version: "2" }],
    });
    const answer = pool.run("m", "in");
    expect([...workers.running.values()]).toMatchObject([{ model: "m@2", input: "in" }]);
    workers.succeed(1, "out");
    expect(await answer).toBe("out");
    await pool.close();
  });

  it("gives an aborted caller its own reason at once, and the place to the next only when the work has stopped", async () => {
    const { pool, workers } = await open(new ScriptedWorkers(undefined, { heeds: false }));
    const stop = new AbortController();
    const first = watch(pool.run("m", 1, { signal: stop.signal }));
    const second = watch(pool.run("m", 2));
    const reason = { mine: true };
    stop.abort(reason);
    await clock.advance(0);
    expect(first.error).toBe(reason);
    expect([...workers.running.keys()]).toEqual([1]);
    workers.fail(1, new Error("stopped"));
    expect([...workers.running.keys()]).toEqual([2]);
    workers.succeed(2, "fine");
    await clock.advance(0);
    expect(second.value).toBe("fine");
    await pool.close();
  });

  it("ends a worker that does not stop within the grace period, without counting it against the device", async () => {
    const { pool, workers } = await open(new ScriptedWorkers(undefined, { heeds: false }), {
      cancelGrace: 200,
    });
    const first = watch(pool.run("m", 1, { deadline: 100 }));
    await clock.advance(100);
    expect(first.error).toMatchObject({ code: "DEADLINE_EXCEEDED", phase: "running" });
    await clock.advance(199);
    expect(workers.log).not.toContain("kill a");
    await clock.advance(1);
    expect(workers.log.slice(-3)).toEqual(["kill a", "start a", "load m@1 on a"]);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
    await pool.close();
  });

  it("gives no grace to a worker that has not answered its heartbeat", async () => {
    const workers = new ScriptedWorkers(undefined, { heeds: false, check: () => new Promise(() => {}) });
    const { pool } = await open(workers, { heartbeat: 100, cancelGrace: "1h" });
    const stop = new AbortController();
    const first = watch(pool.run("m", 1, { signal: stop.signal }));
    await clock.advance(250);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", responsive: false }]);
    stop.abort("enough");
    await clock.advance(0);
    expect(first.error).toBe("enough");
    expect(workers.log).toContain("kill a");
    await pool.close();
  });

  it("replaces an idle worker that does not answer its heartbeat", async () => {
    const workers = new ScriptedWorkers(undefined, { check: () => new Promise(() => {}) });
    const { pool } = await open(workers, { heartbeat: 100 });
    await clock.advance(200);
    expect(pool.snapshot().devices).toMatchObject([
      { status: "restarting", lastFailure: "the worker of a does not answer" },
    ]);
    await pool.close();
  });

  it("[server#3627] quarantines a device that keeps crashing, and takes it back once it has proved itself", async () => {
    const workers = new ScriptedWorkers();
    const { pool } = await open(workers, { quarantineAfter: 2 });
    for (const wait of [100, 0]) {
      const lost = watch(pool.run("m", 1));
      workers.crash("a", new Error("CUDA error: an illegal memory access was encountered"));
      await clock.advance(0);
      expect(lost.error).toMatchObject({ code: "WORKER_CRASHED", device: "a", model: "m@1" });
      await clock.advance(wait);
    }
    expect(pool.snapshot()).toMatchObject({
      capacity: 0,
      devices: [{ status: "quarantined", failuresInARow: 2 }],
    });
    const waits = pool.run("m", 2);
    await clock.advance(29_999);
    expect(pool.snapshot().devices).toMatchObject([{ status: "quarantined" }]);
    await clock.advance(1);
    workers.succeed([...workers.running.keys()][0]!);
    await waits;
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
    await pool.close();
  });

  it("tries a worker that does not start or load again, with growing waits", async () => {
    let broken = true;
    const workers = new ScriptedWorkers(undefined, {
      load: async () => {
        if (broken) throw new Error("no such file");
      },
    });
    const { pool } = await open(workers);
    expect(pool.snapshot().devices).toMatchObject([{ status: "restarting", lastFailure: "no such file" }]);
    const late = watch(pool.run("m", 1, { deadline: "200ms" }));
    await clock.advance(100);
    await clock.advance(199);
    expect(late.error).toMatchObject({
      code: "DEADLINE_EXCEEDED",
      message: "the deadline passed while the request for m@1 was waiting, as no device was up",
      cause: { message: "the worker of a is restarting: no such file" },
    });
    expect(workers.log.filter((line) => line === "start a")).toHaveLength(2);
    broken = false;
    await clock.advance(1);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up" }]);
    expect(workers.alive).toBe(1);
    await pool.close();
  });

  it("gives up on a start or a load that takes too long", async () => {
    const workers = new ScriptedWorkers(undefined, { load: () => new Promise(() => {}) });
    const { pool } = await open(workers, { models: [{ name: "m", loadTimeout: "1s" }] });
    await clock.advance("1s");
    expect(pool.snapshot().devices).toMatchObject([
      { status: "restarting", lastFailure: "load of m@1 did not finish within 1000 ms" },
    ]);
    expect(workers.alive).toBe(0);
    await pool.close();
  });

  it("[pytorch/serve#2333] refuses at once when the queue is full, and says when to come back", async () => {
    const { pool, workers } = await open(undefined, { queueLimit: 1 });
    const first = pool.run("m", 1);
    await clock.advance("3s");
    workers.succeed(1);
    await first;
    const running = watch(pool.run("m", 2));
    const waiting = watch(pool.run("m", 3));
    await expect(pool.run("m", 4)).rejects.toMatchObject({ code: "POOL_SATURATED", retryAfterMs: 6_000 });
    const closed = pool.close({ within: 0 });
    await clock.advance(0);
    expect(await closed).toEqual({ finished: 0, cut: 2 });
    expect([running.error, waiting.error]).toMatchObject([{ code: "CLOSED" }, { code: "CLOSED" }]);
  });

  it("ignores a worker that answers twice, or for what it does not run", async () => {
    const outcomes: string[] = [];
    const stop = channel<RequestEvent>("gpu-pool", "request").subscribe(({ outcome }) =>
      outcomes.push(outcome),
    );
    const { pool, workers } = await open();
    const taken = new AbortController();
    const first = watch(pool.run("m", 1, { signal: taken.signal }));
    const { events } = workers.running.get(1)!;
    taken.abort("back");
    events.succeeded(1, "late");
    events.failed(99, new Error("whose?"));
    const second = pool.run("m", 2);
    events.succeeded(2, "good");
    events.succeeded(2, "again");
    expect(await second).toBe("good");
    expect(first).toEqual({ error: "back" });
    expect(outcomes).toEqual(["cancelled", "succeeded"]);
    expect(pool.snapshot()).toMatchObject({ finished: 1, running: 0, capacity: 1 });
    await pool.close();
    stop();
  });

  it("drains: takes no more, and resolves when what it has has ended", async () => {
    const { pool, workers } = await open();
    const last = pool.run("m", 1);
    const drained = watch(pool.drain().then(() => "drained"));
    await expect(pool.run("m", 2)).rejects.toMatchObject({ code: "CLOSED" });
    await clock.advance("1h");
    expect(drained.value).toBeUndefined();
    workers.succeed(1);
    await last;
    await clock.advance(0);
    expect(drained.value).toBe("drained");
    await pool.close();
  });

  it("[node-llama-cpp#303] frees models when it closes, and leaves no timer, listener or worker behind", async () => {
    const { signal } = new AbortController();
    const leaks = leakCheck({ clocks: [clock], signals: [signal] });
    const { pool, workers } = await open();
    const answer = pool.run("m", 1, { signal, deadline: "1m" });
    workers.succeed(1);
    await answer;
    expect(await pool.close()).toEqual({ finished: 0, cut: 0 });
    expect(workers.log.slice(-2)).toEqual(["unload m@1 on a", "kill a"]);
    expect(workers.alive).toBe(0);
    leaks.assertNone();
  });

  it("closes within its time whatever its workers do, also while they start", async () => {
    const stuck = new ScriptedWorkers(undefined, { start: () => new Promise(() => {}) });
    const { pool } = await open(stuck, { cancelGrace: 100 });
    const waiting = watch(pool.run("m", 1));
    const closed = watch(pool.close({ within: "1s" }));
    await clock.advance(1_100);
    expect(closed.value).toEqual({ finished: 0, cut: 1 });
    expect(waiting.error).toMatchObject({ code: "CLOSED" });
  });

  it("starts nothing any more once what is left was cut, however its devices go down", async () => {
    const workers = new ScriptedWorkers([
      { id: "a", capacity: 2 },
      { id: "b", capacity: 1 },
    ]);
    const { pool } = await open(workers);
    const seen = [1, 2, 3, 4, 5].map((input) => watch(pool.run("m", input)));
    const before = workers.log.length;
    const closed = watch(pool.close({ within: 0 }));
    await clock.advance(10);
    expect(closed.value).toEqual({ finished: 0, cut: 5 });
    expect(seen.map(({ error }) => (error as { code: string }).code)).toEqual(seen.map(() => "CLOSED"));
    expect(workers.log.slice(before)).toEqual(["kill a", "kill b"]);
    expect(pool.snapshot()).toMatchObject({ waiting: 0, running: 0, capacity: 0 });
  });

  it("whoever takes a device out, or a model, is not left waiting when the pool closes", async () => {
    const { pool } = await open();
    watch(pool.run("m", 1));
    const waiting = [pool.drainDevice("a"), pool.unloadModel("m@1"), pool.removeModel("m@1")].map((one) =>
      watch(one.then(() => "told")),
    );
    await clock.advance(0);
    expect(waiting).toEqual([{}, {}, {}]);
    const closed = pool.close({ within: 0 });
    await clock.advance(0);
    await closed;
    expect(waiting).toEqual([{ value: "told" }, { value: "told" }, { value: "told" }]);
  });

  it("lets requests that wait for a device to start end, when it closes", async () => {
    let go = (): void => {};
    const slow = new ScriptedWorkers(undefined, { start: () => new Promise((resolve) => (go = resolve)) });
    const { pool } = await open(slow);
    const answer = pool.run("m", 1);
    const closed = pool.close({ within: "5s" });
    go();
    await clock.advance(0);
    slow.succeed(1, "in time");
    expect([await answer, await closed]).toEqual(["in time", { finished: 1, cut: 0 }]);
  });

  it("tells observers what happens, and is not disturbed by them", async () => {
    const events: unknown[] = [];
    const stops = [
      channel<DeviceEvent>("gpu-pool", "device").subscribe(({ status }) => events.push(status)),
      channel<RequestEvent>("gpu-pool", "request").subscribe(({ outcome, waitedMs, ranMs }) =>
        events.push({ outcome, waitedMs, ranMs }),
      ),
      channel<RequestEvent>("gpu-pool", "request").subscribe(() => {
        throw new Error("an observer's own fault");
      }),
    ];
    const { pool, workers } = await open();
    const first = pool.run("m", 1, {
      onProgress: () => {
        throw new Error("another one's");
      },
    });
    const second = pool.run("m", 2);
    workers.running.get(1)!.events.progress(1, 0.5);
    await clock.advance(20);
    workers.succeed(1);
    await clock.advance(5);
    workers.succeed(2);
    await Promise.all([first, second]);
    await pool.close();
    for (const stop of stops) stop();
    expect(events).toEqual([
      "up",
      { outcome: "succeeded", waitedMs: 0, ranMs: 20 },
      { outcome: "succeeded", waitedMs: 20, ranMs: 5 },
      "closed",
    ]);
  });

  it("refuses options of a request that cannot work, by name", async () => {
    const { pool, workers } = await open();
    const bad: readonly [string, unknown][] = [
      ["affinity", {}],
      ["affinity", "x".repeat(1_001)],
      ["signal", {}],
      ["transfer", "no"],
      ["transfer", [new Uint8Array(8)]],
    ];
    for (const [option, value] of bad)
      await expect(pool.run("m", 1, { [option]: value }), option).rejects.toMatchObject({
        code: "INVALID_OPTION",
        option,
      });
    expect(workers.log.filter((line) => line.startsWith("run"))).toEqual([]);
    await pool.close();
  });

  it("refuses options that cannot work, by name", () => {
    const make = (options: Partial<GpuPoolOptions>) => () =>
      gpuPool({ workers: new ScriptedWorkers(), models: [{ name: "m" }], clock, ...options });
    expect(make({ models: [] })).toThrow(/"models" must be at least one model/);
    expect(make({ models: [{ name: "m" }, { name: "m" }] })).toThrow(/each model and version once/);
    expect(make({ models: [{ name: "a b" }] })).toThrow(/"name" must be letters/);
    expect(make({ workers: [] })).toThrow(/at least one device/);
    expect(make({ workers: [new ScriptedWorkers(), new ScriptedWorkers()] })).toThrow(/IDs of their own/);
    expect(make({ workers: new ScriptedWorkers([{ id: "a", capacity: 0 }]) })).toThrow(/capacity of a/);
    expect(make({ queueLimit: -1 })).toThrow(/"queueLimit"/);
    const device = (one: object) => make({ workers: new ScriptedWorkers([one as Device]) });
    expect(device({ capacity: 1 })).toThrow(/"workers: id of a device"/);
    expect(device({ id: "", capacity: 1 })).toThrow(/"workers: id of a device"/);
    for (const memoryBytes of [NaN, -5, "80GB"])
      expect(device({ id: "a", capacity: 1, memoryBytes })).toThrow(/"workers: memoryBytes of a"/);
    expect(device({ id: "a", capacity: 1, type: 7 })).toThrow(/"workers: type of a"/);
    expect(make({ workers: { kind: "x" } as never })).toThrow(/"workers: devices"/);
    const small = new ScriptedWorkers([{ id: "a", capacity: 1, memoryBytes: 99 }]);
    expect(make({ workers: small, models: [{ name: "m", memoryBytes: 100 }] })).toThrow(
      /fit into the 99 bytes of a/,
    );
  });
});
