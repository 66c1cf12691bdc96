// Devices of different costs on virtual time: a dearer one that idles keeps a deadline that nothing else can keep.
import type { ScheduledRequest, SchedulerEvent } from "@holdfast/gpu-pool";
import { Scheduler } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

interface Tier {
  readonly ms: number;
  readonly devices: number;
  readonly capacity: number;
}

interface Scene {
  readonly cheap: Tier;
  readonly dear: Tier;
  /** How long each request may take. */
  readonly withinMs: number;
  /** Time between one request and the next, in milliseconds. */
  readonly gaps: readonly number[];
  /** How many times as long as it should each of the batches takes that start on a cheap device, over and over. */
  readonly stalls: readonly number[];
}

/** So much before its last moment a request is looked at once more, in milliseconds. */
const LAST_LOOK_MS = 5;

/** More than sums of times lose. */
const EPSILON_MS = 1e-6;

/**
 * Requests that ended too late, or not at all, though a dearer device idled while it could have had them in time. Where
 * batches are late, of those that were first in line when that had to be decided, and it was known by then.
 */
function missedBesideIdle({ cheap, dear, withinMs, gaps, stalls }: Scene): readonly string[] {
  const tiers = { cheap, dear };
  const scheduler = new Scheduler<ScheduledRequest>({
    models: [
      {
        key: "m",
        timesByType: {
          cheap: { perItemMs: cheap.ms, fixedMs: 0 },
          dear: { perItemMs: dear.ms, fixedMs: 0 },
        },
      },
    ],
    queueLimit: 10_000,
  });
  const waiting = new Map<number, ScheduledRequest>();
  const running = new Map<
    number,
    {
      readonly type: string;
      readonly endsAt: number;
      readonly shouldEndAt: number;
      readonly deadline: number;
    }
  >();
  /** When a dearer device idled last while it could have had it. */
  const idledAt = new Map<number, number>();
  const missed: string[] = [];
  const isExact = stalls.every((stall) => stall === 1);
  let started = 0;
  let now = 0;
  const tell = (event: SchedulerEvent<ScheduledRequest>): void => {
    for (const command of scheduler.handle(event, now)) {
      if (command.type === "run")
        for (const { id, deadline } of command.requests) {
          waiting.delete(id);
          const type = command.device.split(" ")[0]!;
          const { ms } = tiers[type as "cheap" | "dear"];
          const stall = type === "dear" ? 1 : stalls[started++ % stalls.length]!;
          running.set(id, { type, endsAt: now + ms * stall, shouldEndAt: now + ms, deadline });
        }
      else if (command.type === "drop") {
        waiting.delete(command.request.id);
        miss(command.request.id);
      }
    }
  };
  const miss = (id: number): void => {
    const at = idledAt.get(id);
    if (at !== undefined) missed.push(`${id} at ${now}, beside one that idled at ${at}`);
  };
  for (const type of ["cheap", "dear"] as const)
    for (let device = 0; device < tiers[type].devices; device += 1) {
      const { capacity } = tiers[type];
      const cost = type === "cheap" ? 1 : 10;
      tell({ type: "device-up", device: { id: `${type} ${device}`, capacity, type, cost } });
    }
  const places = dear.devices * dear.capacity;
  // Something has run on the cheap ones before: its times are not only said but measured.
  const arrivals = gaps.map(
    (
      (at) => (gap: number) =>
        (at += gap)
    )(10 * cheap.ms),
  );
  let next = 0;
  tell({ type: "request", request: { id: 0, model: "m", priority: 0, deadline: Infinity } });
  for (;;) {
    const firstEnd = [...running].toSorted(([, a], [, b]) => a.endsAt - b.endsAt)[0];
    const arrivesAt = arrivals[next] ?? Infinity;
    const at = Math.min(firstEnd?.[1].endsAt ?? Infinity, arrivesAt, scheduler.nextWake);
    if (at === Infinity) break;
    const dearRunning = [...running.values()].filter(({ type }) => type === "dear").length;
    const isLateBy = (when: number): boolean =>
      [...running.values()].some(
        ({ type, shouldEndAt }) => type === "cheap" && shouldEndAt < when - EPSILON_MS,
      );
    if (dearRunning < places)
      for (const { id, deadline } of isExact ? waiting.values() : [...waiting.values()].slice(0, 1)) {
        const lastMs = deadline - dear.ms - EPSILON_MS;
        const from = isExact ? now : Math.max(now, lastMs - LAST_LOOK_MS);
        const until = isExact ? lastMs - LAST_LOOK_MS : lastMs;
        // It stayed so for a while, and not only between two things that happened at once.
        if (from < Math.min(at, until) - EPSILON_MS && (isExact || isLateBy(from))) idledAt.set(id, from);
      }
    now = at;
    if (firstEnd !== undefined && firstEnd[1].endsAt <= at) {
      const [id, { deadline }] = firstEnd;
      running.delete(id);
      if (at > deadline + 1e-6) miss(id);
      tell({ type: "done", id });
    } else if (arrivesAt <= at) {
      next += 1;
      const request = { id: next, model: "m", priority: 0, deadline: now + withinMs };
      waiting.set(next, request);
      tell({ type: "request", request });
    } else tell({ type: "timer" });
  }
  expect(waiting.size + running.size).toBe(0);
  return missed;
}

const tier = (most: number): fc.Arbitrary<Tier> =>
  fc.record({
    ms: fc.integer({ min: 5, max: 60 }),
    devices: fc.integer({ min: 1, max: most }),
    capacity: fc.integer({ min: 1, max: 2 }),
  });

const sceneOf = (stall: fc.Arbitrary<number>): fc.Arbitrary<Scene> =>
  fc.record({
    cheap: tier(3),
    dear: tier(2),
    withinMs: fc.integer({ min: 10, max: 250 }),
    gaps: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 60 }),
    stalls: fc.array(stall, { minLength: 1, maxLength: 5 }),
  });

describe("devices of different costs", () => {
  it("miss no deadline that an idle dearer one could have kept", () => {
    fc.assert(
      fc.property(sceneOf(fc.constant(1)), (scene) => {
        expect(missedBesideIdle(scene)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it("miss none either that it could still have kept when cheaper ones were known to be late", () => {
    fc.assert(
      fc.property(sceneOf(fc.constantFrom(1, 1, 2, 20)), (scene) => {
        expect(missedBesideIdle(scene)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
