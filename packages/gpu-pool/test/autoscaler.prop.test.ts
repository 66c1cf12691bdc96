// The autoscaler by itself, on virtual time: when it adds, when it takes away, and that it comes to rest.
import type { AutoscalerOptions, ScaledWork, ScheduledRequest } from "@holdfast/gpu-pool";
import { Autoscaler, Scheduler } from "@holdfast/gpu-pool";
import { drawTrace, simulate } from "@holdfast/gpu-pool/sim";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";

const settings: AutoscalerOptions = {
  min: 0,
  max: 20,
  slotsEach: 1,
  targetUse: 0.75,
  bootMs: 2_000,
  windowMs: 5_000,
  cooldownMs: 30_000,
  downAfterMs: 20_000,
  zeroAfterMs: 60_000,
};

/** Devices and work at a test's hand: each request takes so long on a device. */
class Bench implements ScaledWork {
  readonly scaler: Autoscaler<ScheduledRequest>;
  now = 0;
  waiting = 0;
  running = 0;
  workMs = 0;
  leases = 0;
  unplacedLeases = 0;
  costMs = 10;
  readonly busy = new Map<string, number>();
  /** Every change of mind: how many more, or less. */
  readonly changes: { readonly at: number; readonly by: number }[] = [];
  readonly up: string[] = [];
  #coming: { readonly at: number; readonly id: string }[] = [];
  #next = 0;

  constructor(
    more: Partial<AutoscalerOptions> = {},
    readonly bootMs = 2_000,
  ) {
    this.scaler = new Autoscaler({ ...settings, ...more }, this);
  }

  costOf(): number {
    return this.costMs;
  }

  leasesOn(): number {
    return 0;
  }

  runningOn(device: string): number {
    return this.busy.get(device) ?? 0;
  }

  tell(
    event: Parameters<Autoscaler<ScheduledRequest>["handle"]>[0],
    answered: "refuse" | "drop" | "" = "",
  ): void {
    const request = { id: -1, model: "m", priority: 0, deadline: Infinity };
    const commands =
      answered === "refuse"
        ? [{ type: "refuse" as const, request, limit: "pool" as const, waiting: 1, retryAfterMs: 1 }]
        : answered === "drop"
          ? [{ type: "drop" as const, request, why: "deadline" as const }]
          : [];
    for (const command of this.scaler.handle(event, commands, this.now)) {
      if (command.type === "start") {
        this.changes.push({ at: this.now, by: command.count });
        for (let one = 0; one < command.count; one += 1) {
          this.#coming.push({ at: this.now + this.bootMs, id: `d${this.#next}` });
          this.#next += 1;
        }
      } else {
        this.changes.push({ at: this.now, by: -1 });
        this.up.splice(this.up.indexOf(command.device), 1);
        this.scaler.gone(command.device);
        this.tell({ type: "device-down", device: command.device });
      }
    }
  }

  /** A while of a steady load, in slots' worth of time. */
  run(ms: number, offered: number): void {
    const until = this.now + ms;
    const gap = this.costMs / Math.max(1e-9, offered);
    let next = this.now + gap;
    while (this.now < until) {
      const coming = this.#coming[0]?.at ?? Infinity;
      this.now = Math.min(until, next, coming, Math.max(this.now, this.scaler.nextWake));
      if (this.now === coming) {
        const { id } = this.#coming.shift()!;
        this.scaler.provided(id);
        this.up.push(id);
        this.tell({ type: "device-up", device: { id, capacity: 1 } });
      } else if (this.now === next) {
        next += gap;
        this.running = offered > 0 ? 1 : 0;
        const request = { id: this.now, model: "m", priority: 0, deadline: Infinity };
        this.tell({ type: "request", request });
      } else this.tell({ type: "timer" });
      this.running = 0;
    }
  }
}

describe("an autoscaler", () => {
  it(row(184, "adds devices when the work needs them, and takes them away when it does not"), () => {
    const bench = new Bench();
    bench.run(20_000, 3);
    expect(bench.up).toHaveLength(4);
    bench.run(90_000, 0.5);
    expect(bench.up).toHaveLength(1);
    bench.run(200_000, 0);
    expect(bench.up).toHaveLength(0);
  });

  it("[ray#24793] [ray#32652] starts the first device for a single request, at once", () => {
    const bench = new Bench();
    bench.waiting = 1;
    bench.tell({ type: "request", request: { id: 1, model: "m", priority: 0, deadline: Infinity } });
    expect(bench.changes).toEqual([{ at: 0, by: 1 }]);
  });

  it("[ray#38118] goes to zero when nothing is there, whatever was counted before", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            ms: fc.integer({ min: 1_000, max: 30_000 }),
            load: fc.double({ min: 0, max: 8, noNaN: true }),
          }),
          {
            minLength: 1,
            maxLength: 8,
          },
        ),
        (phases) => {
          const bench = new Bench();
          for (const { ms, load } of phases) bench.run(ms, load);
          bench.run(200_000, 0);
          expect([bench.up.length, bench.scaler.devices]).toEqual([0, 0]);
          expect(bench.scaler.nextWake).toBe(Infinity);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("comes to rest under any constant load, with enough devices and not many more", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 12, noNaN: true }), (load) => {
        const bench = new Bench();
        bench.run(120_000, load);
        const before = bench.changes.length;
        bench.run(300_000, load);
        expect(bench.changes).toHaveLength(before);
        expect(bench.up.length).toBeGreaterThanOrEqual(load);
        expect(bench.up.length).toBeLessThanOrEqual(Math.ceil(load / (0.75 * 0.7)) + 1);
      }),
      { numRuns: 60 },
    );
  });

  it("[ray#18925] [must-survive 41] never adds, takes away and adds again within the cooldown, whatever the load does", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            ms: fc.integer({ min: 100, max: 40_000 }),
            load: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 15, noNaN: true })),
          }),
          { minLength: 2, maxLength: 25 },
        ),
        fc.integer({ min: 0, max: 20_000 }),
        (phases, bootMs) => {
          const bench = new Bench({}, bootMs);
          for (const { ms, load } of phases) bench.run(ms, load);
          const { changes } = bench;
          for (const [index, { at, by }] of changes.entries()) {
            if (by > 0) continue;
            const added = changes.slice(0, index).findLast((one) => one.by > 0)!;
            expect(at - added.at).toBeGreaterThanOrEqual(settings.cooldownMs);
          }
          expect(bench.up.length).toBeLessThanOrEqual(settings.max);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("does not order again what is on its way, however long that takes", () => {
    const bench = new Bench({ bootMs: 30_000 }, 30_000);
    bench.run(5_000, 3);
    const ordered = bench.scaler.devices;
    expect(ordered).toBeGreaterThanOrEqual(4);
    bench.run(24_000, 3);
    expect([bench.scaler.devices, bench.up.length]).toEqual([ordered, 0]);
  });

  it("adds nothing for a backlog that is gone before a device could be there", () => {
    const quick = new Bench({ min: 1, bootMs: 60_000 });
    quick.run(5_000, 0.3);
    quick.workMs = 20_000;
    quick.run(2_000, 0.3);
    expect(quick.changes).toEqual([{ at: expect.any(Number), by: 1 }]);
    quick.workMs = 120_000;
    quick.run(2_000, 0.3);
    expect(quick.changes.length).toBeGreaterThan(1);
  });

  it("adds one when work is lost although there seems to be enough, and none for what came too late", () => {
    const bench = new Bench({ min: 2 });
    bench.run(20_000, 1.3);
    expect(bench.up).toHaveLength(2);
    const late = { id: -1, model: "m", priority: 0, deadline: 0 };
    for (let one = 0; one < 200; one += 1) bench.tell({ type: "request", request: late }, "drop");
    bench.run(3_000, 1.3);
    expect(bench.up).toHaveLength(2);
    for (let one = 0; one < 40; one += 1) bench.tell({ type: "timer" }, "drop");
    bench.run(3_000, 1.3);
    expect(bench.up.length).toBeGreaterThan(2);
  });

  it("keeps within its bounds and its budget, and leaves work that is not worth a device", () => {
    const budget = new Bench({ cost: { perDeviceHour: 2, maxPerHour: 7 } });
    budget.run(20_000, 10);
    expect(budget.up).toHaveLength(3);
    // 1.1 slots of 10 ms: the second device would answer 33 requests a second at best.
    const cheap = new Bench({ targetUse: 1, cost: { perDeviceHour: 2, worthPerRequest: 1e-6 } });
    cheap.run(30_000, 1.1);
    expect(cheap.up).toHaveLength(1);
    const dear = new Bench({ targetUse: 1, cost: { perDeviceHour: 2, worthPerRequest: 1e-3 } });
    dear.run(30_000, 1.1);
    expect(dear.up).toHaveLength(2);
    const kept = new Bench({ min: 2 });
    kept.tell({ type: "timer" });
    kept.run(300_000, 0);
    expect(kept.up).toHaveLength(2);
  });

  it("waits longer each time when devices cannot be had, and orders again", () => {
    const bench = new Bench();
    bench.waiting = 1;
    const tried: number[] = [];
    bench.tell({ type: "timer" });
    for (let step = 0; step < 400; step += 1) {
      if (bench.changes.length > tried.length) {
        tried.push(bench.now);
        bench.scaler.refused(bench.now);
      }
      bench.now += 100;
      bench.tell({ type: "timer" });
    }
    const waits = tried.slice(1).map((at, index) => at - tried[index]!);
    expect(waits.length).toBeGreaterThan(3);
    for (const [index, wait] of waits.entries()) expect(wait).toBeGreaterThanOrEqual(1_000 * 2 ** index);
  });

  it("takes away the idlest of its devices, the newest of those", () => {
    const bench = new Bench();
    bench.run(20_000, 3);
    bench.busy.set("d3", 1);
    bench.busy.set("d2", 1);
    bench.busy.set("d0", 1);
    bench.run(60_000, 1.5);
    expect(bench.up).toEqual(["d0", "d2", "d3"]);
  });
});

describe("an autoscaler with the scheduler", () => {
  const times = { perItemMs: 1.082, fixedMs: 5.204 };
  const scaled = (seed: number, options: Partial<AutoscalerOptions> = {}): ReturnType<typeof simulate> => {
    const scheduler = new Scheduler<ScheduledRequest>({
      models: [{ key: "m", times, maxBatch: 64 }],
      queueLimit: 100_000,
    });
    return simulate({
      scheduler,
      trace: drawTrace({
        count: 120_000,
        ratePerSecond: 1_500,
        seed,
        wave: { periodMs: 40_000, depth: 0.9 },
      }),
      models: [{ key: "m", times, sloMs: 100 }],
      devices: [],
      autoscale: {
        options: {
          ...settings,
          max: 8,
          bootMs: 1_000,
          cooldownMs: 5_000,
          downAfterMs: 5_000,
          windowMs: 2_000,
          ...options,
        },
        work: scheduler,
        device: { capacity: 1 },
        bootMs: 1_000,
      },
    });
  };

  it("follows a load that swells and ebbs, and costs far less than as many devices as it needs at its peak", () => {
    for (const seed of [1, 2, 3]) {
      const { goodShare, scaling, paidMs, spanMs } = scaled(seed);
      const most = Math.max(...scaling.map(({ up }) => up));
      expect(goodShare).toBeGreaterThan(0.95);
      expect(paidMs).toBeLessThan(0.8 * most * spanMs);
      expect(scaling.length).toBeLessThan(40);
    }
  });

  it("[ray#24793] [ray#32652] a device that comes late takes what has waited for it", () => {
    const { scaling, goodShare } = scaled(1, { max: 1 });
    expect(scaling.slice(0, 2)).toMatchObject([
      { up: 0, coming: 1 },
      { up: 1, coming: 0 },
    ]);
    expect(goodShare).toBeGreaterThan(0.3);
  });

  it("does the same for the same seed", () => {
    expect(scaled(4).scaling).toEqual(scaled(4).scaling);
  });
});
