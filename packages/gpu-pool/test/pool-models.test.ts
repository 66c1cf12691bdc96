import { getEventListeners } from "node:events";
import { manualClock } from "@holdfast/core/testing";
import type { GpuPool, GpuPoolOptions } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

const clock = manualClock();

async function open(
  workers = new ScriptedWorkers(),
  options: Partial<GpuPoolOptions> = {},
): Promise<{ pool: GpuPool; workers: ScriptedWorkers }> {
  const pool = gpuPool({ workers, clock, ...options });
  await clock.advance(0);
  return { pool, workers };
}

/** What a promise came to, once it has. */
function watch(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const seen: { value?: unknown; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value ?? "nothing"),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

const loaded = (pool: GpuPool): readonly (readonly string[])[] =>
  pool.snapshot().devices.map((device) => device.loaded);

describe("memory that others take", () => {
  it("is seen when a worker measures, kept free while they have it, and used again after", async () => {
    const { pool, workers } = await open(
      new ScriptedWorkers([
        { id: "a", capacity: 1, memoryBytes: 10 },
        { id: "b", capacity: 1 },
      ]),
    );
    await pool.drainDevice("b");
    pool.addModel({ name: "m", memoryBytes: 6 });
    const memory = (): unknown => pool.snapshot().devices[0];
    expect(memory()).toMatchObject({ memoryBytes: 10, usedBytes: 0, foreignBytes: 0 });
    workers.measure("a", 4);
    expect(memory()).toMatchObject({ memoryBytes: 10, usedBytes: 6, foreignBytes: 6 });
    const seen = watch(pool.run("m", 1));
    await clock.advance(1_000);
    expect(loaded(pool)[0]).toEqual([]);
    for (const nonsense of [Number.NaN, -1, Infinity, "9" as never]) workers.measure("a", nonsense);
    expect(memory()).toMatchObject({ usedBytes: 6, foreignBytes: 6 });
    workers.measure("a", 9);
    await clock.advance(0);
    expect(memory()).toMatchObject({ usedBytes: 7, foreignBytes: 1, loaded: ["m@1"] });
    workers.succeed([...workers.running.keys()][0]!, "answer");
    await clock.advance(0);
    expect(seen).toEqual({ value: "answer" });
    expect(pool.snapshot().devices[1]).not.toHaveProperty("foreignBytes");
    await pool.close();
  });
});

describe("models that come and go in a pool", () => {
  it("may be asked for from the moment they are added on, and are loaded then", async () => {
    const { pool, workers } = await open();
    await expect(pool.run("late@1", 1)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    expect(pool.addModel({ name: "late", version: "1" }).key).toBe("late@1");
    const seen = watch(pool.run("late", 1));
    await clock.advance(0);
    expect(workers.log).toContain("load late@1 on a");
    workers.succeed([...workers.running.keys()][0]!, "answer");
    await clock.advance(0);
    expect(seen).toEqual({ value: "answer" });
    await pool.close();
  });

  it("leave, like devices, whether or not their end is waited for: a wait ends with its signal and leaves no listener", async () => {
    const { pool, workers } = await open(new ScriptedWorkers([{ id: "a", capacity: 2 }]), {
      models: [{ name: "m" }, { name: "n" }],
    });
    const running = [watch(pool.run("m", 1)), watch(pool.run("n", 1))];
    await clock.advance(0);
    const stop = new AbortController();
    const { signal } = stop;
    const waits = [
      pool.unloadModel("n@1", { signal }),
      pool.removeModel("m@1", { signal }),
      pool.drainDevice("a", { signal }),
      pool.drain({ signal }),
    ].map(watch);
    await clock.advance(0);
    expect(waits).toEqual([{}, {}, {}, {}]);
    const reason = new Error("no longer");
    stop.abort(reason);
    await clock.advance(0);
    expect(waits).toEqual(Array.from(waits, () => ({ error: reason })));
    expect(getEventListeners(signal, "abort")).toEqual([]);
    await expect(pool.drainDevice("a", { signal })).rejects.toBe(reason);
    for (const id of workers.running.keys()) workers.succeed(id, "answer");
    await clock.advance("1m");
    expect(running).toEqual([{ value: "answer" }, { value: "answer" }]);
    expect(pool.snapshot()).toMatchObject({ draining: true, models: ["n@1"] });
    await pool.close();
  });

  it("leave when their last request has ended: no new one is taken, those there were are answered", async () => {
    const { pool, workers } = await open(undefined, { models: [{ name: "m" }, { name: "n" }] });
    const running = watch(pool.run("m", 1));
    const waiting = watch(pool.run("m", 2));
    await clock.advance(0);
    const removed = watch(pool.removeModel("m@1"));
    await expect(pool.run("m", 3)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    await expect(pool.run("m@1", 3)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    workers.succeed([...workers.running.keys()][0]!, "first");
    await clock.advance(0);
    expect(running).toEqual({ value: "first" });
    expect(removed).toEqual({});
    expect(() => pool.addModel({ name: "m" })).toThrow(/on its way out/);
    workers.succeed([...workers.running.keys()][0]!, "second");
    await clock.advance(0);
    expect(waiting).toEqual({ value: "second" });
    expect(removed).toEqual({ value: "nothing" });
    expect(loaded(pool)).toEqual([["n@1"]]);
    expect(pool.snapshot().models).toEqual(["n@1"]);
    // It may come back, as something else.
    pool.addModel({ name: "m", memoryBytes: 7 });
    expect(pool.snapshot().modelStates.find(({ key }) => key === "m@1")).toMatchObject({ memoryBytes: 7 });
    await pool.close();
  });

  it("stay while somebody holds a lease, and are not loaded again by a device that restarts", async () => {
    const { pool, workers } = await open(undefined, { models: [{ name: "m" }] });
    const lease = await pool.acquire("m");
    const removed = watch(pool.removeModel("m@1"));
    await clock.advance(1_000);
    expect([removed, loaded(pool)]).toEqual([{}, [["m@1"]]]);
    lease.release();
    await clock.advance(0);
    expect([removed, loaded(pool)]).toEqual([{ value: "nothing" }, [[]]]);
    pool.addModel({ name: "other" });
    const crashing = watch(pool.run("other", 1));
    await clock.advance(0);
    workers.crash("a");
    await clock.advance(1_000);
    expect(crashing.error).toMatchObject({ code: "WORKER_CRASHED" });
    expect(loaded(pool)).toEqual([[]]);
    await pool.close();
  });

  it("are unloaded for a while, and loaded again when they are asked for", async () => {
    const { pool, workers } = await open(undefined, { models: [{ name: "m" }] });
    const running = watch(pool.run("m", 1));
    await clock.advance(0);
    const unloaded = watch(pool.unloadModel("m@1"));
    await clock.advance(0);
    expect(unloaded).toEqual({});
    workers.succeed([...workers.running.keys()][0]!);
    await clock.advance(0);
    expect([running.value, unloaded, loaded(pool)]).toEqual(["done", { value: "nothing" }, [[]]]);
    const again = watch(pool.run("m", 2));
    await clock.advance(0);
    workers.succeed([...workers.running.keys()][0]!);
    await clock.advance(0);
    expect([again.value, loaded(pool)]).toEqual(["done", [["m@1"]]]);
    await pool.close();
  });

  it("are meant by an alias from the moment it is set; what was taken before stays", async () => {
    const two = [
      { name: "m", version: "1" },
      { name: "m", version: "2" },
    ];
    const { pool, workers } = await open(new ScriptedWorkers([{ id: "a", capacity: 3 }]), { models: two });
    await expect(pool.run("m@stable", 0)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    pool.setAlias("m@stable", "m@1");
    void pool.run("m@stable", 1);
    pool.setAlias("m@stable", "m@2");
    void pool.run("m@stable", 2);
    await clock.advance(0);
    const ran = [...workers.running.values()].map(({ input, model }) => [input, model]);
    expect(ran).toEqual([
      [1, "m@1"],
      [2, "m@2"],
    ]);
    for (const id of workers.running.keys()) workers.succeed(id);
    pool.setAlias("m@stable", undefined);
    await expect(pool.run("m@stable", 3)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    expect(() => pool.setAlias("m@stable", "m@3")).toThrow(/no model/);
    expect(() => pool.setAlias("m@1", "m@2")).toThrow(/"alias" must be a name that is no model's/);
    expect(() => pool.setAlias("m", "m@2")).toThrow(/"alias" must be name@label/);
    await pool.close();
  });

  it("are refused where they fit into no device, and leave quietly from a pool that is closed", async () => {
    const workers = new ScriptedWorkers([{ id: "a", capacity: 1, memoryBytes: 10 }]);
    const { pool } = await open(workers, { models: [{ name: "m" }] });
    expect(() => pool.addModel({ name: "big", memoryBytes: 11 })).toThrow(/"models" must be models that fit/);
    await expect(pool.removeModel("none@1")).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    await expect(pool.unloadModel("none@1")).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    const lease = await pool.acquire("m");
    const removed = watch(pool.removeModel("m@1"));
    await pool.close();
    await clock.advance(0);
    expect(removed).toEqual({ value: "nothing" });
    lease.release();
    await pool.unloadModel("none@1").catch(() => {});
  });
});

describe("acquire", () => {
  it("is tried elsewhere when a load fails, and rejects when no device can load the model", async () => {
    let fails = 1;
    const workers = new ScriptedWorkers(
      [
        { id: "a", capacity: 1 },
        { id: "b", capacity: 1 },
      ],
      {
        load: async () => {
          fails -= 1;
          if (fails >= 0) throw new Error("no such weights");
        },
      },
    );
    const { pool } = await open(workers);
    pool.addModel({ name: "m" });
    const lease = await pool.acquire("m");
    expect(["a", "b"]).toContain(lease.device);
    lease.release();
    await pool.unloadModel("m@1");
    fails = Infinity;
    const refused = watch(pool.acquire("m"));
    await clock.advance(60_000);
    expect(refused.error).toMatchObject({ code: "MODEL_UNAVAILABLE", model: "m@1" });
    await pool.close();
  });
});
