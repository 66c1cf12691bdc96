import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const LIMIT = 6;

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("ask" as const),
      priority: fc.integer({ min: 0, max: 2 }),
      within: fc.option(fc.nat(300), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("end" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cancel" as const), pick: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("up" as const),
      device: fc.nat(2),
      capacity: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("down" as const), device: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("wait" as const), ms: fc.nat(200) }) },
);

/** What must be true, kept beside the scheduler by the simplest means. */
class Model {
  readonly scheduler = new Scheduler<ScheduledRequest>({ queueLimit: LIMIT });
  readonly capacity = new Map<string, number>();
  readonly waiting = new Map<number, ScheduledRequest>();
  readonly running = new Map<number, { readonly request: ScheduledRequest; readonly device: string }>();
  readonly stopped = new Set<number>();
  readonly trace: string[] = [];
  now = 0;

  tell(event: SchedulerEvent<ScheduledRequest>): void {
    if (event.type === "request") this.waiting.set(event.request.id, event.request);
    if (event.type === "done") this.running.delete(event.id);
    const commands = this.scheduler.handle(event, this.now);
    this.trace.push(JSON.stringify(commands));
    for (const command of commands) this.#follow(command, event);
    this.#check();
  }

  #follow(command: SchedulerCommand<ScheduledRequest>, event: SchedulerEvent<ScheduledRequest>): void {
    if (command.type === "run") {
      const [request] = command.requests;
      expect(this.waiting.delete(request!.id)).toBe(true);
      expect(request!.deadline).toBeGreaterThan(this.now);
      for (const other of this.waiting.values()) expect(goesBefore(other, request!)).toBe(false);
      this.running.set(request!.id, { request: request!, device: command.device });
      return;
    }
    const { id, deadline } = command.request;
    if (command.type === "refuse") {
      expect(this.waiting.delete(id)).toBe(true);
      expect(this.waiting.size).toBe(LIMIT);
      expect(event).toMatchObject({ type: "request", request: { id } });
    } else if (command.type === "drop") {
      expect(this.waiting.delete(id)).toBe(true);
      if (command.why === "deadline") expect(deadline).toBeLessThan(Infinity);
      else expect(event).toEqual({ type: "cancel", id });
    } else if (command.type === "stop") {
      expect(this.running.get(id)?.device).toBe(command.device);
      expect(this.stopped.has(id)).toBe(false);
      this.stopped.add(id);
      if (command.why === "deadline") expect(deadline).toBeLessThanOrEqual(this.now);
    } else {
      expect(event).toEqual({ type: "device-down", device: command.device });
      expect(this.running.get(id)?.device).toBe(command.device);
      this.running.delete(id);
    }
  }

  #check(): void {
    const { scheduler, capacity, running, waiting } = this;
    const places = [...capacity.values()].reduce((sum, one) => sum + one, 0);
    for (const [device, most] of capacity)
      expect([...running.values()].filter((one) => one.device === device).length).toBeLessThanOrEqual(most);
    for (const { device } of running.values()) expect(capacity.has(device)).toBe(true);
    // No place is left free while a request waits.
    if (waiting.size > 0) expect(running.size).toBe(places);
    expect(waiting.size).toBeLessThanOrEqual(LIMIT);
    // Nobody waits or runs past a deadline unnoticed.
    for (const { deadline } of waiting.values()) expect(deadline).toBeGreaterThan(this.now);
    for (const { request } of running.values())
      if (request.deadline <= this.now) expect(this.stopped.has(request.id)).toBe(true);
    expect([scheduler.waiting, scheduler.running, scheduler.capacity]).toEqual([
      waiting.size,
      running.size,
      places,
    ]);
    expect(scheduler.backlogMs).toBeGreaterThanOrEqual(0);
  }
}

function goesBefore(a: ScheduledRequest, b: ScheduledRequest): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.deadline === b.deadline ? a.id < b.id : a.deadline < b.deadline;
}

function replay(steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[]): Model {
  const model = new Model();
  let nextId = 1;
  const pickFrom = (ids: Iterable<number>, pick: number): number | undefined => {
    const all = [...ids];
    return all[pick % Math.max(1, all.length)];
  };
  for (const one of steps) {
    if (one.type === "wait") {
      model.now += one.ms;
      model.tell({ type: "timer" });
    } else if (one.type === "ask") {
      const deadline = one.within === undefined ? Infinity : model.now + one.within;
      const request = { id: nextId, model: `m${nextId % 2}@1`, priority: one.priority, deadline };
      nextId += 1;
      model.tell({ type: "request", request });
    } else if (one.type === "end") {
      const id = pickFrom(model.running.keys(), one.pick);
      if (id !== undefined) model.tell({ type: "done", id });
    } else if (one.type === "cancel") {
      const id = pickFrom([...model.waiting.keys(), ...model.running.keys()], one.pick);
      if (id !== undefined) model.tell({ type: "cancel", id });
    } else {
      const device = `d${one.device}`;
      if (one.type === "down") {
        model.capacity.delete(device);
        model.tell({ type: "device-down", device });
      } else if (!model.capacity.has(device)) {
        model.capacity.set(device, one.capacity);
        model.tell({ type: "device-up", device: { id: device, capacity: one.capacity } });
      }
    }
  }
  return model;
}

describe("Scheduler, over any sequence of events", () => {
  it("keeps capacity, order, limit and deadlines, and leaves no place free while somebody waits", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => void replay(steps)),
      { numRuns: 500 },
    );
  });

  it("answers the same events with the same commands", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        expect(replay(steps).trace).toEqual(replay(steps).trace);
      }),
      { numRuns: 100 },
    );
  });

  it("starts equals in the order they came: none starves", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (asks) => {
        const scheduler = new Scheduler<ScheduledRequest>({ queueLimit: 1_000 });
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
