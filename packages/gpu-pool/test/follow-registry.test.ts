import { channel, StoreUnavailableError } from "@holdfast/core";
import { leakCheck, manualClock } from "@holdfast/core/testing";
import type {
  FollowRegistryOptions,
  GpuPool,
  ModelEntry,
  ModelRegistry,
  ModelStore,
  RegistryFollower,
  RolloutEvent,
} from "@holdfast/gpu-pool";
import { followRegistry, gpuPool, memoryModelStore, modelRegistry, rollBackAlias } from "@holdfast/gpu-pool";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import type { Behaviour } from "./fixtures/scripted-workers.ts";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

const clock = manualClock();

interface Scene extends AsyncDisposable {
  readonly registry: ModelRegistry;
  readonly pool: GpuPool;
  readonly workers: ScriptedWorkers;
  readonly follower: RegistryFollower;
}

async function open(
  entries: readonly ModelEntry[],
  options: FollowRegistryOptions & {
    readonly behaviour?: Behaviour;
    readonly store?: ModelStore;
    readonly memoryBytes?: number;
    readonly capacity?: number;
    readonly stable?: string;
  } = {},
): Promise<Scene> {
  const { behaviour, store, memoryBytes, capacity = 4, stable, ...rest } = options;
  const registry = modelRegistry({ store: store ?? memoryModelStore({ clock }), clock });
  for (const entry of entries) await registry.register(entry);
  if (stable !== undefined) await registry.moveAlias("m@stable", stable);
  const device = { id: "a", capacity, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
  const workers = new ScriptedWorkers([device], behaviour ?? {});
  const pool = gpuPool({ workers, clock });
  await settle();
  const follower = followRegistry(pool, registry, { clock, ...rest });
  await settle();
  const close = async (): Promise<void> => {
    await follower.close();
    const closing = pool.close({ within: 0 });
    await clock.advance(1_000);
    await closing;
    await registry.close();
  };
  return { registry, pool, workers, follower, [Symbol.asyncDispose]: close };
}

/** A store that those who watch cannot ask while its plug is pulled. */
function pluggable(): ModelStore & { isDown: boolean } {
  const inner = memoryModelStore({ clock });
  const plug = { isDown: false };
  return new Proxy(inner, {
    set: (_, name, value: boolean) => name === "isDown" && ((plug.isDown = value), true),
    get: (target, name) => {
      if (name === "changesAfter" && plug.isDown)
        return () => Promise.reject(new StoreUnavailableError("memory", "pulled the plug"));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  }) as ModelStore & { isDown: boolean };
}

function stoppable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await clock.advance(0);
}

function watch(promise: Promise<unknown>): { value?: unknown; error?: unknown } {
  const seen: { value?: unknown; error?: unknown } = {};
  promise.then(
    (value) => (seen.value = value ?? "nothing"),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

const v1: ModelEntry = { name: "m", version: "1" };
const v2: ModelEntry = { name: "m", version: "2" };
const loaded = ({ pool }: Scene): readonly string[] => pool.snapshot().devices[0]!.loaded;
const ran = ({ workers }: Scene): readonly (readonly unknown[])[] =>
  [...workers.running.values()].map(({ input, model }) => [input, model]);
const answerAll = async ({ workers }: Scene, output: unknown = "done"): Promise<void> => {
  for (const id of workers.running.keys()) workers.succeed(id, output);
  await settle();
};

describe("followRegistry", () => {
  it(row(180, "has what is registered, also what is registered later, and routes by alias"), async () => {
    await using scene = await open([v1], { stable: "1" });
    await scene.follower.ready();
    const early = watch(scene.pool.run("m@stable", "early"));
    await settle();
    expect(ran(scene)).toEqual([["early", "m@1"]]);
    await scene.registry.register({ name: "late", version: "7" });
    await settle();
    const late = watch(scene.pool.run("late@7", "late"));
    await settle();
    await answerAll(scene);
    expect([early, late]).toEqual([{ value: "done" }, { value: "done" }]);
    expect(scene.follower.snapshot()).toMatchObject({
      kind: "registry-follower",
      pool: "gpu-pool",
      isLost: false,
      aliases: [{ alias: "m@stable", wanted: "m@1", serving: "m@1", status: "serving" }],
      refused: {},
    });
  });

  it(
    row(181, "loads what an alias means before the first request, where that is asked for, and keeps it"),
    async () => {
      await using scene = await open(
        [
          { ...v1, preload: true, memoryBytes: 6 },
          { ...v2, memoryBytes: 6 },
        ],
        {
          stable: "1",
          memoryBytes: 10,
        },
      );
      await scene.follower.ready();
      expect(loaded(scene)).toEqual(["m@1"]);
      // It is not evicted for another, and comes back when its device does.
      const { signal, abort } = stoppable();
      void scene.pool.run("m@2", 1, { signal }).catch(() => {});
      await clock.advance(5_000);
      expect(loaded(scene)).toEqual(["m@1"]);
      abort();
      void scene.pool.run("m@1", 1).catch(() => {});
      await settle();
      scene.workers.crash("a");
      await clock.advance(10_000);
      expect(loaded(scene)).toEqual(["m@1"]);
    },
  );

  it("sends new requests to the new version once that is loaded; those before end on the old one", async () => {
    let letLoad = (): void => {};
    const load = ({ key }: { key: string }): Promise<void> =>
      key === "m@2" ? new Promise((resolve) => (letLoad = resolve)) : Promise.resolve();
    await using scene = await open([v1, v2], { stable: "1", behaviour: { load } });
    const { pool, registry, follower, workers } = scene;
    const before = watch(pool.run("m@stable", "before"));
    await settle();
    const moved = await registry.moveAlias("m@stable", "2");
    await settle();
    const meanwhile = watch(pool.run("m@stable", "meanwhile"));
    await settle();
    expect(ran(scene)).toEqual([
      ["before", "m@1"],
      ["meanwhile", "m@1"],
    ]);
    expect(follower.snapshot()).toMatchObject({
      revision: moved.alias?.revision,
      aliases: [{ wanted: "m@2", serving: "m@1", status: "preparing" }],
    });
    letLoad();
    await settle();
    const after = watch(pool.run("m@stable", "after"));
    await settle();
    expect(ran(scene).at(-1)).toEqual(["after", "m@2"]);
    expect(follower.snapshot().aliases[0]).toMatchObject({ serving: "m@2", status: "serving" });
    // The old one stays where it is while it runs, and no longer.
    expect(loaded(scene)).toEqual(["m@1", "m@2"]);
    workers.succeed([...workers.running.keys()][0]!, "old");
    await settle();
    expect([before, loaded(scene)]).toEqual([{ value: "old" }, ["m@1", "m@2"]]);
    await answerAll(scene, "rest");
    expect([meanwhile, after]).toEqual([{ value: "rest" }, { value: "rest" }]);
    expect(loaded(scene)).toEqual(["m@2"]);
    // It is available still, by its own name.
    const direct = watch(pool.run("m@1", "direct"));
    await settle();
    await answerAll(scene);
    expect(direct).toEqual({ value: "done" });
  });

  it("keeps the old version where somebody holds a lease on it, until that is released", async () => {
    await using scene = await open([v1, v2], { stable: "1" });
    const lease = await scene.pool.acquire("m@stable");
    expect(lease.model).toBe("m@1");
    await scene.registry.moveAlias("m@stable", "2");
    await settle();
    expect(loaded(scene)).toEqual(["m@1", "m@2"]);
    lease.release();
    await settle();
    expect(loaded(scene)).toEqual(["m@2"]);
  });

  it("leaves an alias where it was when the new version does not load, says so, and follows a roll-back", async () => {
    const load = async ({ key }: { key: string }): Promise<void> => {
      if (key === "m@2") throw new Error("no such weights");
    };
    const told: RolloutEvent[] = [];
    await using scene = await open([v1, v2], { stable: "1", behaviour: { load } });
    const stop = channel<RolloutEvent>("gpu-pool", "rollout").subscribe((event) => told.push(event));
    await scene.registry.moveAlias("m@stable", "2");
    await clock.advance(30_000);
    const { aliases } = scene.follower.snapshot();
    expect(aliases).toEqual([
      {
        alias: "m@stable",
        wanted: "m@2",
        serving: "m@1",
        status: "broken",
        failure: "m@2 could not be loaded on any device",
      },
    ]);
    const still = watch(scene.pool.run("m@stable", 1));
    await settle();
    expect(ran(scene)).toEqual([[1, "m@1"]]);
    await answerAll(scene);
    expect(still).toEqual({ value: "done" });
    // Whoever moved it sees both, and takes it back.
    expect((await scene.registry.alias("m@stable"))?.version).toBe("2");
    expect((await rollBackAlias(scene.registry, "m@stable")).moved).toBe(true);
    await settle();
    expect(scene.follower.snapshot().aliases).toEqual([
      { alias: "m@stable", wanted: "m@1", serving: "m@1", status: "serving" },
    ]);
    stop();
    expect(told.map(({ change, model, serving }) => [change, model, serving])).toEqual([
      ["preparing", "m@2", "m@1"],
      ["broken", "m@2", "m@1"],
    ]);
  });

  it("moves an alias back by itself where it is told to, unless somebody was quicker", async () => {
    const load = async ({ key }: { key: string }): Promise<void> => {
      if (key === "m@2") throw new Error("no such weights");
    };
    await using scene = await open([v1, v2, { name: "m", version: "3" }], {
      stable: "1",
      behaviour: { load },
      rollBack: true,
    });
    await scene.registry.moveAlias("m@stable", "2");
    await clock.advance(30_000);
    expect(await scene.registry.alias("m@stable")).toMatchObject({ version: "1", previous: "2" });
    expect(scene.follower.snapshot().aliases[0]).toMatchObject({ serving: "m@1", status: "serving" });
    await scene.registry.moveAlias("m@stable", "2");
    await settle();
    await scene.registry.moveAlias("m@stable", "3");
    await clock.advance(60_000);
    expect(await scene.registry.alias("m@stable")).toMatchObject({ version: "3", previous: "2" });
    expect(scene.follower.snapshot().aliases[0]).toMatchObject({ serving: "m@3", status: "serving" });
  });

  it("does not move an alias back that somebody has moved on, although it has not heard of that", async () => {
    const store = pluggable();
    let fail = (_: Error): void => {};
    const check = ({ key }: { readonly key: string }): Promise<void> =>
      key === "m@2" ? new Promise((_, reject) => (fail = reject)) : Promise.resolve();
    await using scene = await open([v1, v2, { name: "m", version: "3" }], {
      stable: "1",
      rollBack: true,
      check,
      store,
    });
    await scene.registry.moveAlias("m@stable", "2");
    await settle();
    store.isDown = true;
    await scene.registry.moveAlias("m@stable", "3");
    await settle();
    fail(new Error("these are not its weights"));
    await settle();
    expect(scene.follower.snapshot()).toMatchObject({ isLost: true, aliases: [{ status: "broken" }] });
    expect((await scene.registry.alias("m@stable"))?.version).toBe("3");
    store.isDown = false;
    await clock.advance(1_000);
    expect(scene.follower.snapshot().aliases[0]).toMatchObject({ serving: "m@3", status: "serving" });
  });

  it("does not go to a version that an alias has been moved on from, when another alias wants it", async () => {
    const passes = new Map<string, () => void>();
    const check = ({ key }: { readonly key: string }): Promise<void> =>
      key === "m@1" ? Promise.resolve() : new Promise((resolve) => passes.set(key, resolve));
    await using scene = await open([v1, v2, { name: "m", version: "3" }], { stable: "1", check });
    for (const [alias, version] of [
      ["m@stable", "2"],
      ["m@beta", "2"],
      ["m@stable", "3"],
    ] as const) {
      await scene.registry.moveAlias(alias, version);
      await settle();
    }
    passes.get("m@2")!();
    await settle();
    void scene.pool.run("m@stable", "stable").catch(() => {});
    void scene.pool.run("m@beta", "beta").catch(() => {});
    await settle();
    expect(ran(scene)).toEqual([
      ["stable", "m@1"],
      ["beta", "m@2"],
    ]);
    passes.get("m@3")!();
    await settle();
    void scene.pool.run("m@stable", "later").catch(() => {});
    await settle();
    expect(ran(scene).at(-1)).toEqual(["later", "m@3"]);
  });

  it.each([
    [
      "answers its warm-up with an error",
      (workers: ScriptedWorkers, id: number) => workers.fail(id, new Error("bad")),
    ],
    [
      "gives another answer than was registered",
      (workers: ScriptedWorkers, id: number) => workers.succeed(id, "no"),
    ],
    ["does not answer in time", () => {}],
  ])("takes a version for broken that %s", async (_, answer) => {
    const warmUp = { input: "ping", output: { b: [1], a: "pong" }, timeout: "5s" as const };
    await using scene = await open([v1, { ...v2, warmUp }], { stable: "1", retry: "1m" });
    const { workers, registry, follower } = scene;
    await registry.moveAlias("m@stable", "2");
    await settle();
    expect(ran(scene)).toEqual([["ping", "m@2"]]);
    answer(workers, [...workers.running.keys()][0]!);
    await clock.advance(6_000);
    expect(follower.snapshot().aliases[0]).toMatchObject({ wanted: "m@2", serving: "m@1", status: "broken" });
    // It is tried again while it is wanted.
    await answerAll(scene);
    for (let second = 0; second < 70 && ran(scene).length === 0; second += 1) await clock.advance(1_000);
    expect(ran(scene)).toEqual([["ping", "m@2"]]);
    await answerAll(scene, { a: "pong", b: [1] });
    expect(follower.snapshot().aliases[0]).toEqual({
      alias: "m@stable",
      wanted: "m@2",
      serving: "m@2",
      status: "serving",
    });
  });

  it("takes a version for broken that does not pass the check, and has not loaded it", async () => {
    const check: FollowRegistryOptions["check"] = ({ key }) => {
      if (key === "m@2") throw new Error("these are not its weights");
    };
    await using scene = await open([v1, v2], { stable: "1", check });
    await scene.registry.moveAlias("m@stable", "2");
    await settle();
    expect(scene.follower.snapshot().aliases[0]).toMatchObject({
      status: "broken",
      failure: "these are not its weights",
    });
    expect(scene.workers.log).not.toContain("load m@2 on a");
  });

  it("says which versions the pool cannot have, and goes on with the others", async () => {
    await using scene = await open([v1, { ...v2, memoryBytes: 11 }], { stable: "1", memoryBytes: 10 });
    await scene.registry.moveAlias("m@stable", "2");
    await settle();
    const { aliases, refused } = scene.follower.snapshot();
    expect(refused["m@2"]).toMatch(/fit into the 10 bytes of a/);
    expect(aliases[0]).toMatchObject({ serving: "m@1", status: "broken", failure: refused["m@2"] });
  });

  it("takes versions out that are drained, retired or removed, when their requests have ended", async () => {
    await using scene = await open([v1, v2, { name: "m", version: "3" }]);
    const { pool, registry } = scene;
    const running = watch(pool.run("m@1", 1));
    await settle();
    await registry.setState("m@1", "draining");
    await registry.setState("m@2", "retired");
    await registry.remove("m@3");
    await settle();
    for (const key of ["m@1", "m@2", "m@3"])
      await expect(pool.run(key, 2)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    expect([running, loaded(scene)]).toEqual([{}, ["m@1"]]);
    await answerAll(scene);
    expect([running, loaded(scene)]).toEqual([{ value: "done" }, []]);
    await registry.setState("m@1", "available");
    await settle();
    const again = watch(pool.run("m@1", 1));
    await settle();
    await answerAll(scene);
    expect(again).toEqual({ value: "done" });
  });

  it("keeps a drained version while it has to stand in for one that is broken", async () => {
    const load = async ({ key }: { key: string }): Promise<void> => {
      if (key === "m@2") throw new Error("no such weights");
    };
    await using scene = await open([v1, v2, { name: "m", version: "3" }], {
      stable: "1",
      behaviour: { load },
    });
    const { pool, registry } = scene;
    await registry.moveAlias("m@stable", "2");
    await registry.setState("m@1", "draining");
    await clock.advance(30_000);
    const served = watch(pool.run("m@stable", 1));
    await settle();
    await answerAll(scene);
    expect(served).toEqual({ value: "done" });
    await registry.moveAlias("m@stable", "3");
    await settle();
    await expect(pool.run("m@1", 2)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    expect(loaded(scene)).toEqual(["m@3"]);
  });

  it("gives a version that was registered anew as something else its new content", async () => {
    await using scene = await open([{ ...v1, memoryBytes: 3 }], { memoryBytes: 10 });
    const memory = () => scene.pool.snapshot().modelStates.map(({ memoryBytes }) => memoryBytes);
    expect(memory()).toEqual([3]);
    await scene.registry.remove("m@1");
    await scene.registry.register({ ...v1, memoryBytes: 4 });
    await settle();
    expect(memory()).toEqual([4]);
  });

  it("forgets an alias that is removed", async () => {
    await using scene = await open([v1], { stable: "1" });
    await scene.registry.removeAlias("m@stable");
    await settle();
    await expect(scene.pool.run("m@stable", 1)).rejects.toMatchObject({ code: "UNKNOWN_MODEL" });
    expect(scene.follower.snapshot().aliases).toEqual([]);
  });

  it("follows only the names that it is told to", async () => {
    await using scene = await open([v1, { name: "other", version: "1" }], { names: ["other"], stable: "1" });
    await scene.follower.ready();
    expect(scene.pool.snapshot().models).toEqual(["other@1"]);
    expect(scene.follower.snapshot().aliases).toEqual([]);
  });

  it("records what was measured at most so often, where it says something new", async () => {
    await using scene = await open([v1], { stable: "1", recordEvery: "10s" });
    const { pool, registry, workers } = scene;
    const runFor = async (ms: number, times: number): Promise<void> => {
      for (let time = 0; time < times; time += 1) {
        void pool.run("m@stable", time);
        await clock.advance(ms);
        for (const id of workers.running.keys()) workers.succeed(id);
        await clock.advance(0);
      }
    };
    const recorded = async () => (await registry.get("m@1"))?.profiles[""];
    await runFor(20, 5);
    await clock.advance(10_000);
    expect(await recorded()).toBeUndefined();
    await runFor(20, 20);
    expect(await recorded()).toBeUndefined();
    await clock.advance(10_000);
    await settle();
    const first = await recorded();
    expect(first).toMatchObject({ batches: 25, maxBatch: 1, loadMs: 0 });
    expect(first!.perItemMs + first!.fixedMs).toBeCloseTo(20, 3);
    // The same again is no news.
    await runFor(20, 20);
    await clock.advance(10_000);
    await settle();
    expect(await recorded()).toEqual(first);
    await runFor(40, 100);
    await clock.advance(10_000);
    await settle();
    expect((await recorded())!.revision).toBeGreaterThan(first!.revision);
  });

  it("begins with the times that were measured elsewhere", async () => {
    const registry = modelRegistry({ store: memoryModelStore({ clock }), clock });
    await registry.register({ ...v1, maxBatch: 8 });
    const profile = { perItemMs: 10, fixedMs: 100, margin: 1.2, maxBatch: 8, batches: 50, loadMs: 2_000 };
    await registry.recordProfile("m@1", "", profile);
    const pool = gpuPool({ workers: new ScriptedWorkers(), clock });
    await settle();
    const follower = followRegistry(pool, registry, { clock });
    await settle();
    const running = watch(pool.run("m@1", 1, { deadline: 500 }));
    await settle();
    await expect(pool.run("m@1", 1, { deadline: 100 })).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
      phase: "waiting",
    });
    await follower.close();
    const closing = pool.close({ within: 0 });
    await clock.advance(1_000);
    await closing;
    expect(running.error).toMatchObject({ code: "CLOSED" });
    await registry.close();
  });

  it("goes on as it is while the registry cannot be asked, and catches up then", async () => {
    const store = pluggable();
    await using scene = await open([v1, v2], { stable: "1", store });
    store.isDown = true;
    await scene.registry.moveAlias("m@stable", "2");
    await clock.advance(5_000);
    expect(scene.follower.snapshot()).toMatchObject({ isLost: true, aliases: [{ serving: "m@1" }] });
    store.isDown = false;
    await clock.advance(1_000);
    expect(scene.follower.snapshot()).toMatchObject({ isLost: false, aliases: [{ serving: "m@2" }] });
  });

  it("ends with what it began: no timer and no listener is left, ready rejects", async () => {
    const stop = new AbortController();
    const leaks = leakCheck({ clocks: [clock], signals: [stop.signal] });
    {
      await using scene = await open(
        [
          { ...v1, preload: true },
          { ...v2, warmUp: { input: 1 } },
        ],
        {
          stable: "1",
        },
      );
      await scene.registry.moveAlias("m@stable", "2");
      await settle();
      const waiting = watch(scene.follower.ready({ signal: stop.signal }));
      const aborted = watch(scene.follower.ready({ signal: AbortSignal.abort("enough") }));
      await settle();
      expect([waiting, aborted]).toEqual([{}, { error: "enough" }]);
      const closing = watch(scene.follower.ready());
      await scene.follower.close();
      await scene.follower.close();
      expect(closing.error).toMatchObject({ code: "CLOSED" });
      expect(scene.pool.snapshot().models).toEqual(["m@1", "m@2"]);
    }
    await settle();
    leaks.assertNone();
  });

  it("refuses options that cannot work, by name", async () => {
    await using scene = await open([]);
    const { pool, registry } = scene;
    const make = (options: object) => () => followRegistry(pool, registry, options);
    expect(make({ retry: -1 })).toThrow(/"retry" must be/);
    expect(make({ recordEvery: 1 })).toThrow(/"recordEvery" must be/);
    expect(make({ names: "m" })).toThrow(/"names" must be a list of names/);
    expect(make({ rollBack: 1 })).toThrow(/"rollBack" must be/);
  });
});
