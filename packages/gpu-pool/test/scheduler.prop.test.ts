import type { ScheduledModel, ScheduledRequest, SchedulerEvent } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WatchedScheduler } from "./fixtures/watched-scheduler.ts";

const MODELS: readonly ScheduledModel[] = [
  { key: "plain", memoryBytes: 4 },
  { key: "batched", maxBatch: 8, memoryBytes: 6, times: { perItemMs: 2, fixedMs: 10 } },
  { key: "unknown", maxBatch: 4, memoryBytes: 5, loadMs: 50 },
  { key: "simple", maxBatch: 3, maxDelayMs: 20, memoryBytes: 3 },
];

const pick = fc.nat();
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("ask" as const),
      model: fc.nat(MODELS.length - 1),
      priority: fc.integer({ min: 0, max: 2 }),
      within: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }),
      size: fc.integer({ min: 1, max: 3 }),
      tenant: fc.constantFrom("a", "b", "c"),
      affinity: fc.option(fc.constantFrom("x", "y"), { nil: undefined }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("batch" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("item" as const), pick }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("cancel" as const), pick }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("oom" as const), pick }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("up" as const),
      device: fc.nat(3),
      capacity: fc.integer({ min: 1, max: 2 }),
      memory: fc.constantFrom(6, 9, 12, undefined),
      kind: fc.constantFrom("gpu", "cpu"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("down" as const), device: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("drain" as const), device: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("measured" as const),
      device: fc.nat(3),
      foreign: fc.constantFrom(0, 2, 2, 5),
      part: fc.constantFrom(0, 0.5, 1),
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("moved" as const), pick, fails: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("acquire" as const), model: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("release" as const), pick }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("leave" as const),
      model: fc.nat(3),
      isForgotten: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.nat(120) }) },
);

type Step = typeof step extends fc.Arbitrary<infer One> ? One : never;

/** Tenants with weights and priorities of their own, that ask without a pause and mostly without deadlines. */
const rivalry = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .record({
          model: fc.nat(2),
          within: fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined, freq: 5 }),
          size: fc.integer({ min: 1, max: 2 }),
          tenant: fc.constantFrom("a", "b", "c"),
        })
        .map(({ within, ...more }) => ({
          type: "ask" as const,
          ...more,
          within,
          priority: { a: 2, b: 1, c: 0 }[more.tenant]!,
          affinity: undefined,
        })),
    },
    { weight: 5, arbitrary: fc.record({ type: fc.constant("batch" as const), pick }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("cancel" as const), pick }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.nat(60) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant("up" as const),
        device: fc.nat(1),
        capacity: fc.integer({ min: 1, max: 2 }),
        memory: fc.constant(undefined),
        kind: fc.constant("gpu"),
      }),
    },
  ),
  { minLength: 100, maxLength: 300, size: "max" },
);

const WEIGHTS: Readonly<Record<string, number>> = { a: 1, b: 2, c: 4 };

function replay(
  steps: readonly Step[],
  options: Partial<WatchedScheduler["options"]> = {},
): WatchedScheduler {
  const watched = new WatchedScheduler({ models: MODELS, queueLimit: 12, agingMs: 500, ...options });
  let next = 1;
  for (const one of steps) {
    next += 1;
    take(watched, one, next);
    // What has been forgotten comes back, so that there is something to ask for.
    for (const model of watched.gone.splice(0))
      if (watched.forgotten.delete(model))
        watched.tell({ type: "model-added", model: MODELS.find(({ key }) => key === model)! });
  }
  return watched;
}

function pickFrom<Item>(items: Iterable<Item>, at: number): Item | undefined {
  const all = [...items];
  return all[at % Math.max(1, all.length)];
}

function take(watched: WatchedScheduler, one: Step, id: number): void {
  const tell = (event: SchedulerEvent<ScheduledRequest>): unknown => watched.tell(event);
  switch (one.type) {
    case "ask": {
      const { priority, size, tenant, affinity } = one;
      const deadline = one.within === undefined ? Infinity : watched.now + one.within;
      tell({
        type: "request",
        request: { id, model: MODELS[one.model]!.key, priority, deadline, size, tenant, affinity },
      });
      break;
    }
    case "batch": {
      const batch = pickFrom(watched.batches.keys(), one.pick);
      if (batch !== undefined) tell({ type: "batch-done", batch });
      break;
    }
    case "item": {
      const items = [...watched.batches.values()].flatMap(({ left }) => [...left.keys()]);
      const item = pickFrom(items, one.pick);
      if (item !== undefined) tell({ type: "done", id: item });
      break;
    }
    case "cancel": {
      const items = [...watched.batches.values()].flatMap(({ left }) => [...left.keys()]);
      const item = pickFrom([...watched.waiting.keys(), ...items], one.pick);
      if (item !== undefined) tell({ type: "cancel", id: item });
      break;
    }
    case "oom": {
      const batch = pickFrom(watched.batches.values(), one.pick);
      if (batch === undefined) break;
      for (const id of batch.left.keys()) if (watched.stopped.has(id)) return;
      watched.requeue(batch, false);
      tell({ type: "out-of-memory", batch: batch.id });
      break;
    }
    case "up": {
      const name = `d${one.device}`;
      if (watched.devices.has(name)) break;
      const memory = one.memory === undefined ? {} : { memoryBytes: one.memory };
      const device = { id: name, capacity: one.capacity, type: one.kind, ...memory };
      tell({ type: "device-up", device, ...(one.memory === undefined ? {} : { loaded: [] }) });
      break;
    }
    case "down": {
      const device = `d${one.device}`;
      if (!watched.devices.delete(device)) break;
      for (const batch of watched.batches.values()) if (batch.device === device) watched.requeue(batch, true);
      tell({ type: "device-down", device });
      break;
    }
    case "leave": {
      const model = MODELS[one.model]!.key;
      tell({ type: "model-leaves", model, isForgotten: one.isForgotten });
      break;
    }
    case "drain":
      if (watched.devices.has(`d${one.device}`)) tell({ type: "device-drain", device: `d${one.device}` });
      break;
    case "measured": {
      const device = `d${one.device}`;
      if (watched.devices.get(device)?.device.memoryBytes !== undefined)
        watched.measure(device, one.foreign, one.part);
      break;
    }
    case "moved": {
      const moving = [...watched.devices].flatMap(([device, { holds }]) =>
        [...holds]
          .filter(([, state]) => state !== "resident")
          .map(([model, state]) => ({ device, model, state })),
      );
      const found = pickFrom(moving, one.pick);
      if (found === undefined) break;
      const { device, model, state } = found;
      const type = state === "unloading" ? "unloaded" : one.fails === 0 ? "load-failed" : "loaded";
      tell({ type, device, model });
      break;
    }
    case "acquire":
      tell({ type: "acquire", lease: id, model: MODELS[one.model]!.key });
      break;
    case "release": {
      const lease = pickFrom(watched.leases.keys(), one.pick);
      if (lease !== undefined) tell({ type: "release", lease });
      break;
    }
    case "wait":
      watched.now += one.ms;
      tell({ type: "timer" });
      break;
  }
}

describe("Scheduler, over any sequence of events", () => {
  it("keeps memory, capacity, references, deadlines and the limit, and answers nothing twice", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => void replay(steps)),
      { numRuns: 600 },
    );
  });

  it("lets no tenant get farther ahead of another that could run than the quantum allows", () => {
    const options = { queueLimit: 200, agingMs: 30_000, weightOf: (tenant: string) => WEIGHTS[tenant]! };
    fc.assert(
      fc.property(rivalry, (steps) => void replay(steps, options)),
      { numRuns: 150 },
    );
  });

  it("answers the same events with the same commands", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
        expect(replay(steps).trace).toEqual(replay(steps).trace);
      }),
      { numRuns: 100 },
    );
  });

  it("ends everything once devices work and time passes: nothing waits for ever", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const watched = replay(steps);
        for (const lease of watched.leases.keys()) watched.tell({ type: "release", lease });
        for (const [id, { device }] of watched.devices)
          if (device.memoryBytes !== undefined) watched.measure(id, 0, 1);
        watched.tell({ type: "device-up", device: { id: "new", capacity: 1, type: "gpu" } });
        for (let turn = 0; watched.waiting.size + watched.running > 0; turn += 1) {
          expect(turn).toBeLessThan(1_000);
          for (const batch of watched.batches.keys()) watched.tell({ type: "batch-done", batch });
          watched.now += 50;
          watched.tell({ type: "timer" });
        }
      }),
      { numRuns: 300 },
    );
  });

  it("starts equals in the order they came: none starves", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (asks) => {
        const scheduler = new Scheduler<ScheduledRequest>({ models: [{ key: "m@1" }], queueLimit: 1_000 });
        const started: number[] = [];
        const running: number[] = [];
        const tell = (event: SchedulerEvent<ScheduledRequest>): void => {
          for (const command of scheduler.handle(event, 0))
            if (command.type === "run") {
              started.push(command.requests[0]!.id);
              running.push(command.requests[0]!.id);
            }
        };
        tell({ type: "device-up", device: { id: "a", capacity: 1 } });
        asks.forEach((isAsk, id) => {
          if (isAsk)
            tell({ type: "request", request: { id, model: "m@1", priority: 0, deadline: Infinity } });
          else if (running.length > 0) tell({ type: "done", id: running.shift()! });
        });
        expect(started).toEqual(started.toSorted((a, b) => a - b));
      }),
    );
  });
});
