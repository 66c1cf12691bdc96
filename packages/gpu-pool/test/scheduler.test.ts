import type { ScheduledRequest } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const request = (id: number, more: Partial<ScheduledRequest> = {}): ScheduledRequest => ({
  id,
  model: "m@1",
  priority: 0,
  deadline: Infinity,
  ...more,
});

function started(scheduler: Scheduler<ScheduledRequest>, now = 0): number[] {
  return scheduler.decide(now).start.map(({ request: { id } }) => id);
}

describe("Scheduler", () => {
  it("starts the highest priority first, then the earliest deadline, then who came first", () => {
    const scheduler = new Scheduler();
    for (const one of [
      request(1),
      request(2, { deadline: 900 }),
      request(3, { deadline: 500 }),
      request(4, { priority: 1 }),
      request(5),
    ])
      scheduler.add(one);
    scheduler.deviceUp("a", 5, 0);
    expect(started(scheduler)).toEqual([4, 3, 2, 1, 5]);
  });

  it("never gives a device more than its slots, and spreads over the least loaded", () => {
    const scheduler = new Scheduler();
    scheduler.deviceUp("a", 2, 0);
    scheduler.deviceUp("b", 1, 0);
    for (const id of [1, 2, 3, 4]) scheduler.add(request(id));
    const devices = scheduler.decide(0).start.map(({ device }) => device);
    expect(devices.toSorted()).toEqual(["a", "a", "b"]);
    expect(scheduler.waiting).toBe(1);
  });

  it("drops at once what cannot end in time, by the fastest its model has run", () => {
    const scheduler = new Scheduler();
    scheduler.deviceUp("a", 1, 0);
    scheduler.add(request(1));
    started(scheduler, 0);
    scheduler.ended(1, 100, "m@1", 100);
    scheduler.add(request(2));
    started(scheduler, 100);
    scheduler.add(request(3, { deadline: 250 }));
    expect(scheduler.decide(149).drop).toEqual([]);
    expect(scheduler.nextDrop()).toBe(150);
    expect(scheduler.decide(151).drop.map(({ id }) => id)).toEqual([3]);
  });

  it("forgets what ran on a device that went down, and nothing else", () => {
    const scheduler = new Scheduler();
    scheduler.deviceUp("a", 1, 0);
    scheduler.deviceUp("b", 1, 0);
    for (const id of [1, 2, 3]) scheduler.add(request(id));
    started(scheduler);
    scheduler.deviceDown("a");
    expect([scheduler.running, scheduler.waiting, scheduler.slots]).toEqual([1, 1, 1]);
  });

  it("keeps its promises over any sequence of events", () => {
    const event = fc.oneof(
      fc.record({
        type: fc.constant("add" as const),
        priority: fc.integer({ min: 0, max: 2 }),
        within: fc.nat(300),
      }),
      fc.record({ type: fc.constant("end" as const), pick: fc.nat() }),
      fc.record({ type: fc.constant("cancel" as const), pick: fc.nat() }),
      fc.record({
        type: fc.constant("up" as const),
        device: fc.nat(2),
        slots: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({ type: fc.constant("down" as const), device: fc.nat(2) }),
      fc.record({ type: fc.constant("wait" as const), ms: fc.nat(200) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const scheduler = new Scheduler();
        const slots = new Map<string, number>();
        const waiting = new Map<number, ScheduledRequest>();
        const running = new Map<number, string>();
        let now = 0;
        let nextId = 1;
        const decide = (): void => {
          const { start, drop } = scheduler.decide(now);
          for (const { id, deadline } of drop) {
            expect(waiting.delete(id)).toBe(true);
            expect(deadline).toBeLessThan(Infinity);
          }
          for (const { request: one, device } of start) {
            expect(waiting.delete(one.id)).toBe(true);
            expect(one.deadline).toBeGreaterThan(now);
            // Nobody of its priority with an earlier deadline, and nobody of a higher one, was passed over.
            for (const other of waiting.values()) {
              if (start.some((chosen) => chosen.request.id === other.id)) continue;
              expect(other.priority).toBeLessThanOrEqual(one.priority);
              if (other.priority === one.priority)
                expect(other.deadline).toBeGreaterThanOrEqual(one.deadline);
            }
            running.set(one.id, device);
          }
          for (const [device, limit] of slots)
            expect([...running.values()].filter((at) => at === device).length).toBeLessThanOrEqual(limit);
          const used = running.size;
          const total = [...slots.values()].reduce((sum, count) => sum + count, 0);
          // No slot stays free while a request waits.
          if (waiting.size > 0) expect(used).toBe(total);
          expect([scheduler.waiting, scheduler.running]).toEqual([waiting.size, running.size]);
        };
        for (const one of events) {
          if (one.type === "wait") now += one.ms;
          if (one.type === "add") {
            const added = request(nextId++, { priority: one.priority, deadline: now + 1 + one.within });
            waiting.set(added.id, added);
            scheduler.add(added);
          }
          if (one.type === "end" && running.size > 0) {
            const id = [...running.keys()][one.pick % running.size]!;
            running.delete(id);
            scheduler.ended(id, now, "m@1", 10);
          }
          if (one.type === "cancel" && waiting.size > 0) {
            const id = [...waiting.keys()][one.pick % waiting.size]!;
            waiting.delete(id);
            expect(scheduler.remove(id)).toBe(true);
            expect(scheduler.remove(id)).toBe(false);
          }
          if (one.type === "up" && !slots.has(`d${one.device}`)) {
            slots.set(`d${one.device}`, one.slots);
            scheduler.deviceUp(`d${one.device}`, one.slots, now);
          }
          if (one.type === "down" && slots.delete(`d${one.device}`)) {
            scheduler.deviceDown(`d${one.device}`);
            for (const [id, device] of running) if (device === `d${one.device}`) running.delete(id);
          }
          decide();
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
