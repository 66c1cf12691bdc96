import type { PolicyName, Scenario } from "@holdfast/gpu-pool/sim";
import {
  dealtPlacement,
  LOADING_POLICIES,
  POLICIES,
  runScenario,
  simulatedDevices,
} from "@holdfast/gpu-pool/sim";
import { describe, expect, it } from "vitest";

const names = Object.keys(POLICIES) as PolicyName[];
const times = { perItemMs: 1.082, fixedMs: 5.204 };
const GB = 1e9;

/** Twelve models of 4 GB on four devices of 12 GB: one copy of each, and no more, fits. */
const tight: Scenario = {
  models: Array.from({ length: 12 }, (_, index) => ({
    key: `m${index}`,
    times,
    sloMs: 400,
    memoryBytes: 4 * GB,
    loadMs: 50,
  })),
  devices: simulatedDevices(4, 12 * GB),
  count: 2_000,
};

describe("a placement that is dealt out", () => {
  it("gives every model a device in turn, then another where there is room", () => {
    const models = ["a", "b", "c"].map((key) => ({ key, times, sloMs: 25, memoryBytes: 5 * GB }));
    const dealt = dealtPlacement(models, simulatedDevices(2, 10 * GB));
    expect([...dealt]).toEqual([
      ["gpu-0", ["a", "c"]],
      ["gpu-1", ["b", "a"]],
    ]);
  });

  it("is everything everywhere where there is room for it, or nobody knows of any limit", () => {
    const models = ["a", "b"].map((key) => ({ key, times, sloMs: 25, memoryBytes: 5 * GB }));
    for (const devices of [simulatedDevices(2), simulatedDevices(2, 10 * GB)])
      expect([...dealtPlacement(models, devices).values()].map((held) => held.toSorted())).toEqual([
        ["a", "b"],
        ["a", "b"],
      ]);
  });

  it("leaves out what does not fit any more, and never fills a device beyond its memory", () => {
    const models = [7, 6, 5, 4].map((gb) => ({ key: `${gb}`, times, sloMs: 25, memoryBytes: gb * GB }));
    const dealt = dealtPlacement(models, simulatedDevices(2, 10 * GB));
    for (const held of dealt.values())
      expect(held.reduce((sum, key) => sum + Number(key), 0)).toBeLessThanOrEqual(10);
    expect([...dealt.values()].flat().toSorted()).toEqual(["4", "6", "7"]);
  });
});

describe("a scenario with memory and load times", { timeout: 30_000 }, () => {
  it("changes nothing where every model fits on every device and nothing fails", () => {
    const roomy = { ...tight, devices: simulatedDevices(4, 48 * GB) };
    const plain = {
      ...tight,
      models: tight.models.map(({ key, sloMs }) => ({ key, times, sloMs })),
      devices: simulatedDevices(4),
    };
    for (const policy of names)
      expect([policy, runScenario(roomy, policy, 800, 1)]).toEqual([
        policy,
        runScenario(plain, policy, 800, 1),
      ]);
  });

  it("accounts for every request once, under every policy, and runs no model where it is not", () => {
    for (const policy of names) {
      const result = runScenario(tight, policy, 800, 1, true);
      expect([policy, result.good + result.late + result.dropped]).toEqual([policy, result.requests]);
      expect(result.good).toBeGreaterThan(0);
      if (LOADING_POLICIES.includes(policy)) continue;
      const dealt = dealtPlacement(tight.models, tight.devices);
      expect(result.loads).toBe(0);
      for (const { device, model } of result.timeline) expect(dealt.get(device)).toContain(model);
    }
  });

  it("has those load that load, from nothing if it must be, and takes the time that takes", () => {
    for (const policy of LOADING_POLICIES) {
      const cold = runScenario({ ...tight, loaded: () => [] }, policy, 400, 1, true);
      expect([policy, cold.loads >= 12]).toEqual([policy, true]);
      expect(cold.timeline[0]!.start).toBeGreaterThanOrEqual(50);
      // The very same, for whoever loads at once.
      const quick = tight.models.map((model) => ({ ...model, loadMs: 0 }));
      const other = runScenario({ ...tight, models: quick, loaded: () => [] }, policy, 400, 1);
      expect(other.goodShare).toBeGreaterThanOrEqual(cold.goodShare);
    }
  });

  it("never has a device hold more than fits, whoever loads", () => {
    const pressed = { ...tight, devices: simulatedDevices(4, 8 * GB) };
    for (const policy of LOADING_POLICIES) {
      const held = new Map(
        [...dealtPlacement(pressed.models, pressed.devices)].map(([id, keys]) => [id, new Set(keys)]),
      );
      const onEvent: Scenario["onEvent"] = (_event, commands) => {
        for (const command of commands) {
          if (command.type === "load") held.get(command.device)!.add(command.model);
          else if (command.type === "unload") held.get(command.device)!.delete(command.model);
          else if (command.type === "run") expect(held.get(command.device)).toContain(command.model);
          for (const models of held.values()) expect(models.size).toBeLessThanOrEqual(2);
        }
      };
      const result = runScenario({ ...pressed, onEvent }, policy, 400, 1);
      expect([policy, result.loads > 0]).toEqual([policy, true]);
    }
  });

  it("has requests dropped whose model has no place with those that load nothing", () => {
    const pressed = { ...tight, devices: simulatedDevices(2, 12 * GB) };
    const homeless =
      tight.models.length -
      new Set([...dealtPlacement(pressed.models, pressed.devices).values()].flat()).size;
    expect(homeless).toBe(6);
    for (const policy of names) {
      const { goodShare } = runScenario(pressed, policy, 100, 1);
      if (LOADING_POLICIES.includes(policy)) expect([policy, goodShare > 0.55]).toEqual([policy, true]);
      else expect([policy, Math.abs(goodShare - 0.5) < 0.05]).toEqual([policy, true]);
    }
  });

  it("refuses a model that no device has room for", () => {
    expect(() => runScenario({ ...tight, devices: simulatedDevices(4, GB) }, "holdfast", 100, 1)).toThrow(
      /runScenario.*m0/,
    );
  });
});

describe("outages", { timeout: 30_000 }, () => {
  const one: Scenario = {
    models: [{ key: "m", times, sloMs: 100 }],
    devices: simulatedDevices(4),
    count: 4_000,
  };

  it("take a device away for exactly as long, under every policy, and every request ends once", () => {
    const scenario = { ...one, outages: [{ device: "gpu-1", downAt: 500, upAt: 1_500 }] };
    for (const policy of names) {
      const { good, late, dropped, requests, timeline } = runScenario(scenario, policy, 1_500, 1, true);
      expect([policy, good + late + dropped]).toEqual([policy, requests]);
      const there = timeline.filter(({ device }) => device === "gpu-1");
      expect([policy, there.some(({ start, end }) => start < 1_500 && end > 500)]).toEqual([policy, false]);
      expect([
        policy,
        there.some(({ end }) => end <= 500),
        there.some(({ start }) => start >= 1_500),
      ]).toEqual([policy, true, true]);
    }
  });

  it("of all devices at once are survived by every policy", () => {
    const outages = one.devices.map(({ id }) => ({ device: id, downAt: 300, upAt: 600 }));
    for (const policy of names) {
      const { good, late, dropped, requests } = runScenario({ ...one, outages }, policy, 1_500, 1);
      expect([policy, good + late + dropped, good > requests / 2]).toEqual([policy, requests, true]);
    }
  });

  it("leave a device with nothing loaded, also of what was being loaded, for those that load", () => {
    const models = tight.models.slice(0, 3);
    const scenario = { ...tight, models, outages: [{ device: "gpu-0", downAt: 20, upAt: 40 }] };
    for (const policy of LOADING_POLICIES) {
      const cold = { ...scenario, devices: simulatedDevices(1, 12 * GB), loaded: () => [] };
      const { timeline, loads } = runScenario(cold, policy, 200, 1, true);
      // Loads that began before it went down never end: 40 + 50 ms at the earliest.
      expect([policy, timeline[0]!.start >= 90, loads > 3]).toEqual([policy, true, true]);
    }
  });

  it("must be of a device that is there, end after they begin, and not overlap", () => {
    const refused: readonly (readonly [NonNullable<Scenario["outages"]>, RegExp])[] = [
      [[{ device: "gpu-9", downAt: 0, upAt: 1 }], /gpu-9/],
      [[{ device: "gpu-0", downAt: 5, upAt: 5 }], /upAt/],
      [
        [
          { device: "gpu-0", downAt: 0, upAt: 10 },
          { device: "gpu-0", downAt: 9, upAt: 20 },
        ],
        /gpu-0/,
      ],
    ];
    for (const [outages, message] of refused)
      expect(() => runScenario({ ...one, outages }, "holdfast", 100, 1)).toThrow(message);
    const failures = { everyMs: 100, forMs: 10 };
    const outages = [{ device: "gpu-0", downAt: 0, upAt: 10 }];
    expect(() => runScenario({ ...one, failures, outages }, "holdfast", 100, 1)).toThrow(/outages/);
  });
});
