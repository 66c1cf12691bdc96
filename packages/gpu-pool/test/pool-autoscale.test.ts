import { manualClock } from "@holdfast/core/testing";
import type {
  AutoscaleOptions,
  Device,
  DeviceProvider,
  GpuPool,
  GpuPoolOptions,
  ScaleEvent,
} from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import { row } from "../../../tools/systems/row.mjs";
import { ScriptedWorkers } from "./fixtures/scripted-workers.ts";

type Clock = ReturnType<typeof manualClock>;

/** Rents out devices that take a while to come. */
class Rental implements DeviceProvider {
  readonly workers = new ScriptedWorkers([]);
  readonly device = { capacity: 1 };
  readonly rented: string[] = [];
  readonly returned: string[] = [];
  refuses = false;
  /** What it answers instead of a device of its own. */
  brings: unknown;
  #next = 0;

  constructor(
    private readonly clock: Clock,
    private readonly bootMs = 1_000,
  ) {}

  async start(signal: AbortSignal): Promise<Device> {
    await this.clock.sleep(this.bootMs, signal);
    if (this.refuses) throw new Error("none left");
    if (this.brings !== undefined) return this.brings as Device;
    const id = `r${this.#next}`;
    this.#next += 1;
    this.rented.push(id);
    return { ...this.device, id };
  }

  async stop(device: Device): Promise<void> {
    this.returned.push(device.id);
  }
}

function open(
  scale: Partial<AutoscaleOptions> = {},
  options: Partial<GpuPoolOptions> = {},
  device: Omit<Device, "id"> = { capacity: 1 },
): { clock: Clock; rental: Rental; pool: GpuPool } {
  const clock = manualClock();
  const rental = new Rental(clock);
  Object.assign(rental, { device });
  const pool = gpuPool({
    workers: [],
    models: [{ name: "m" }],
    autoscale: {
      provider: rental,
      max: 4,
      cooldown: "10s",
      downAfter: "10s",
      zeroAfter: "20s",
      boot: "1s",
      ...scale,
    },
    clock,
    ...options,
  });
  return { clock, rental, pool };
}

/** What a promise came to, once it has. */
function watch(promise: Promise<unknown>): { value?: unknown } {
  const seen: { value?: unknown } = {};
  void promise.then((value) => (seen.value = value));
  return seen;
}

/** Lets each request of the pool take so long. */
async function work(clock: Clock, rental: Rental, ms: number, takes: number): Promise<void> {
  const startedAt = new Map<number, number>();
  for (let at = 0; at < ms; at += 10) {
    for (const id of rental.workers.running.keys()) {
      const since = startedAt.get(id) ?? at;
      startedAt.set(id, since);
      if (at - since >= takes) rental.workers.succeed(id);
    }
    await clock.advance(10);
  }
}

describe("a pool whose devices come and go", () => {
  it("a lease that is waited for orders a device, and one that is held keeps it", async () => {
    const { clock, rental, pool } = open();
    const waiting = pool.acquire("m");
    await clock.advance(1_500);
    const lease = await waiting;
    expect([rental.rented, lease.device]).toEqual([["r0"], "r0"]);
    await clock.advance(120_000);
    expect(rental.returned).toEqual([]);
    expect(lease.lost.aborted).toBe(false);
    lease.release();
    await clock.advance(60_000);
    expect(rental.returned).toEqual(["r0"]);
    await pool.close();
  });

  it("leases that fill all devices order one more for the next, up to the most there may be", async () => {
    const models = ["a", "b", "c"].map((name) => ({ name, memoryBytes: 10 }));
    const { clock, rental, pool } = open({ max: 2 }, { models });
    Object.assign(rental.device, { memoryBytes: 10 });
    const stop = new AbortController();
    const leases = models.map(({ name }) => pool.acquire(name, { signal: stop.signal }));
    const late = leases[2]!.catch((error: unknown) => error);
    await clock.advance(10_000);
    expect(rental.rented).toEqual(["r0", "r1"]);
    expect((await Promise.all(leases.slice(0, 2))).map(({ device }) => device)).toEqual(["r0", "r1"]);
    stop.abort("enough");
    expect(await late).toBe("enough");
    for (const lease of await Promise.all(leases.slice(0, 2))) lease.release();
    await pool.close();
  });

  it(row(184, "starts with none, orders the first for the first request, and has it run there"), async () => {
    const { clock, rental, pool } = open();
    await pool.ready();
    expect(pool.snapshot().devices).toEqual([]);
    const answer = pool.run("m", 1);
    await clock.advance(1_010);
    expect(rental.rented).toEqual(["r0"]);
    rental.workers.succeed([...rental.workers.running.keys()][0]!, "done");
    expect(await answer).toBe("done");
    await pool.close();
  });

  it("adds devices under load, and gives them back, drained, down to none", async () => {
    const { clock, rental, pool } = open();
    const answers: Promise<unknown>[] = [];
    for (let second = 0; second < 20; second += 1) {
      for (let one = 0; one < 10; one += 1) answers.push(pool.run("m", one));
      await work(clock, rental, 1_000, 200);
    }
    expect(rental.rented.length).toBeGreaterThanOrEqual(3);
    await work(clock, rental, 20_000, 200);
    await Promise.all(answers);
    await clock.advance(120_000);
    expect(rental.returned.toSorted()).toEqual(rental.rented.toSorted());
    expect(pool.snapshot().devices).toEqual([]);
    expect(rental.workers.alive).toBe(0);
    await pool.close();
  });

  it("[ray#61551] [ray#18925] a device is not taken away before what runs on it has ended", async () => {
    const { clock, rental, pool } = open({ min: 1, zeroAfter: "1s" });
    const answers = Array.from({ length: 2 }, (_, one) => pool.run("m", one));
    await clock.advance(1_100);
    const first = [...rental.workers.running.keys()][0]!;
    rental.workers.succeed(first);
    await answers[0];
    await clock.advance(500);
    // One streams on, for minutes.
    expect(rental.workers.running.size).toBe(1);
    await clock.advance(300_000);
    expect(rental.workers.running.size).toBe(1);
    const [stream] = rental.workers.running.keys();
    rental.workers.succeed(stream!, "end");
    expect(await answers[1]).toBe("end");
    await pool.close();
  });

  it("[ray#24793] [ray#32652] orders again when there are none left, later each time, and serves who has waited", async () => {
    const { clock, rental, pool } = open();
    rental.refuses = true;
    const answer = pool.run("m", 1);
    await clock.advance(10_000);
    expect(rental.rented).toEqual([]);
    rental.refuses = false;
    await clock.advance(20_000);
    expect(rental.rented).toEqual(["r0"]);
    rental.workers.succeed([...rental.workers.running.keys()][0]!, "late");
    expect(await answer).toBe("late");
    await pool.close();
  });

  it("orders again those that are always to be there, though nothing else happens in the pool", async () => {
    const { clock, rental, pool } = open({ min: 1 });
    rental.refuses = true;
    await clock.advance(1_500);
    rental.refuses = false;
    await clock.advance(5_000);
    expect(rental.rented).toEqual(["r0"]);
    await pool.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives back a device that keeps failing, and has another in its place", async () => {
    const { clock, rental, pool } = open({ min: 1 }, { quarantineAfter: 2 });
    await clock.advance(1_010);
    rental.workers.behaviour.start = async ({ id }) => {
      if (id === "r0") throw new Error("it is broken");
    };
    const answer = pool.run("m", 1);
    rental.workers.crash("r0");
    await expect(answer).rejects.toMatchObject({ code: "WORKER_CRASHED" });
    await clock.advance(5_000);
    expect(rental.returned).toEqual(["r0"]);
    expect(pool.snapshot().devices.map(({ id, status }) => `${id} ${status}`)).toEqual(["r1 up"]);
    await pool.close();
  });

  it("gives back all there are when it closes, also what was on its way", async () => {
    const { clock, rental, pool } = open({ min: 2 });
    await clock.advance(1_010);
    const cut = pool.run("m", 1).catch((error: unknown) => error);
    const closed = pool.close({ within: 0 });
    await clock.advance(2_000);
    await closed;
    expect(await cut).toMatchObject({ code: "CLOSED" });
    expect(rental.returned.toSorted()).toEqual(["r0", "r1"]);
    const early = open({ min: 3 });
    await early.pool.close({ within: 0 });
    await early.clock.advance(5_000);
    expect(early.rental.rented).toEqual([]);
  });

  it("closes in its time though its provider never answers, and gives back what comes after all", async () => {
    const hanging = open();
    let bring = (_: Device): void => {};
    hanging.rental.start = () => new Promise((resolve) => (bring = resolve));
    hanging.pool.run("m", 1).catch(() => {});
    await hanging.clock.advance(100);
    const closed = watch(hanging.pool.close({ within: "2s" }).then(() => "closed"));
    await hanging.clock.advance(2_500);
    expect(closed.value).toBe("closed");
    bring({ id: "late", capacity: 1 });
    await hanging.clock.advance(0);
    expect(hanging.rental.returned).toEqual(["late"]);

    const keeping = open({ min: 1 });
    await keeping.clock.advance(1_010);
    keeping.rental.stop = () => new Promise(() => {});
    const soon = watch(keeping.pool.close({ within: "2s" }).then(() => "closed"));
    await keeping.clock.advance(1_990);
    // As long as there is time it may be on its way back.
    expect(soon.value).toBeUndefined();
    await keeping.clock.advance(10);
    expect(soon.value).toBe("closed");
    expect(keeping.clock.pendingTimers).toBe(0);
  });

  /** What was told while something happened. */
  async function scaleEvents(happen: () => Promise<void>): Promise<readonly ScaleEvent[]> {
    const told: ScaleEvent[] = [];
    const listen = (event: unknown): void => void told.push(event as ScaleEvent);
    subscribe("holdfast:gpu-pool:scale", listen);
    await happen();
    unsubscribe("holdfast:gpu-pool:scale", listen);
    return told;
  }

  it("tells what comes and goes", async () => {
    const told = await scaleEvents(async () => {
      const { clock, pool } = open({ min: 1 });
      await clock.advance(1_010);
      await pool.close();
    });
    expect(told.map(({ change, device = "", devices }) => `${change} ${device} ${devices}`)).toEqual([
      "ordered  1",
      "provided r0 1",
      "returned r0 1",
    ]);
  });

  it("tells why a provider refuses", async () => {
    const told = await scaleEvents(async () => {
      const { clock, rental, pool } = open({ min: 1 });
      rental.refuses = true;
      await clock.advance(1_010);
      await pool.close();
    });
    expect(told[1]).toMatchObject({ change: "refused", devices: 0, reason: "none left" });
  });

  it.each([
    ["without an ID", { capacity: 1 }, /id/],
    ["with the ID of another", { id: "fixed", capacity: 1 }, /IDs of their own; got "fixed"/],
    ["without places", { id: "r0", capacity: 0 }, /capacity of r0.*an integer of at least 1; got 0/],
    ["with less than no memory", { id: "r0", capacity: 1, memoryBytes: -1 }, /memoryBytes of r0/],
    ["with a type that is none", { id: "r0", capacity: 1, type: 9 }, /type of r0/],
    ["that is none", "r0", /provider.*an object; got "r0"/],
  ])("refuses a device %s, gives it back and goes on without it", async (_, described, reason) => {
    const back: unknown[] = [];
    const told = await scaleEvents(async () => {
      const { clock, rental, pool } = open(
        { min: 1 },
        { workers: new ScriptedWorkers([{ id: "fixed", capacity: 1 }]) },
      );
      rental.brings = described;
      rental.stop = async (device) => void back.push(device);
      await clock.advance(1_010);
      expect(pool.snapshot().devices.map(({ id }) => id)).toEqual(["fixed"]);
      // A while later it may have a good one.
      rental.brings = { id: "good", capacity: 1 };
      await clock.advance(10_000);
      expect(pool.snapshot().devices.map(({ id }) => id)).toEqual(["fixed", "good"]);
      await pool.close();
    });
    expect(back).toEqual([
      ...(typeof described === "object" ? [described] : []),
      { id: "good", capacity: 1 },
    ]);
    expect(told.filter(({ change }) => change === "refused")).toEqual([
      expect.objectContaining({ reason: expect.stringMatching(reason) }),
    ]);
  });

  it("refuses options that cannot work", () => {
    expect(() => open({ max: 0 })).toThrow(/"autoscale: max"/);
    expect(() => open({ targetUse: 0 })).toThrow(/"autoscale: targetUse"/);
    const half = { device: { capacity: 1 } } as DeviceProvider;
    expect(() => open({ provider: half })).toThrow(/"autoscale: provider"/);
    for (const provider of [undefined, null, 5, { ...half, start() {}, stop() {}, device: undefined }])
      expect(() => open({ provider: provider as never })).toThrow(
        expect.objectContaining({ code: "INVALID_OPTION", option: expect.stringMatching(/provider/) }),
      );
    for (const device of [{}, { capacity: 0 }, { capacity: 1, memoryBytes: "1" }, { capacity: 1, cost: -1 }])
      expect(() => open({}, {}, device as never)).toThrow(/autoscale: provider/);
    for (const perDeviceHour of [0, -1, Number.NaN, Infinity, "2", undefined])
      expect(() => open({ cost: { perDeviceHour: perDeviceHour as number } })).toThrow(
        /"autoscale: cost: perDeviceHour".*a number above 0/,
      );
    expect(() => open({ cost: { perDeviceHours: 2 } as never })).toThrow(/perDeviceHour"/);
    expect(() => open({ cost: 5 as never })).toThrow(/"autoscale: cost"/);
    expect(() => open({ cost: { perDeviceHour: 1, worthPerRequest: "1" as never } })).toThrow(
      /worthPerRequest/,
    );
    expect(() => open({ cost: { perDeviceHour: 1, maxPerHour: 0 } })).toThrow(/maxPerHour/);
  });
});
