// One situation in which schedulers are compared: models, devices, arrivals; and what a scheduler reaches in it.
import { optionsOf } from "@holdfast/core";
import type { Device } from "../device.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { Trace } from "./arrivals.ts";
import { drawTrace } from "./arrivals.ts";
import type { SimulatedModel } from "./model.ts";
import type { Outage } from "./outages.ts";
import { checkOutages, WithOutages } from "./outages.ts";
import type { Policy } from "./policies/baseline.ts";
import { Clipper } from "./policies/clipper.ts";
import { Clockwork } from "./policies/clockwork.ts";
import { Eager } from "./policies/eager.ts";
import { Nexus } from "./policies/nexus.ts";
import { Shepherd } from "./policies/shepherd.ts";
import { Symphony } from "./policies/symphony.ts";
import { Triton } from "./policies/triton.ts";
import type { SimulationOptions, SimulationResult } from "./simulate.ts";
import { simulate } from "./simulate.ts";
import { dealtPlacement } from "./static-placement.ts";

export type PolicyName =
  "clipper" | "triton" | "nexus" | "clockwork" | "shepherd" | "eager" | "symphony" | "holdfast";

/** Makes a scheduler of a name for models whose times are known. */
export const POLICIES: Readonly<Record<PolicyName, (models: readonly SimulatedModel[]) => Policy>> = {
  clipper: (models) => new Clipper(models),
  triton: (models) => new Triton(models),
  nexus: (models) => new Nexus(models),
  clockwork: (models) => new Clockwork(models),
  shepherd: (models) => new Shepherd(models),
  eager: (models) => new Eager(models),
  symphony: (models) => new Symphony(models),
  holdfast: (models) => holdfast(models),
};

/**
 * Policies that decide what is loaded where. The descriptions of the others assume that their models are resident: they
 * have what fits from the start, dealt round robin, and again when a device is back; what does not fit is dropped.
 */
export const LOADING_POLICIES: readonly PolicyName[] = ["clockwork", "holdfast"];

export interface Scenario {
  readonly models: readonly SimulatedModel[];
  /** With `memoryBytes`, they hold no more models than fit. */
  readonly devices: readonly Device[];
  /** Requests in a run. */
  readonly count: number;
  readonly gaps?: "poisson" | { readonly gammaShape: number };
  /** @defaultValue the same for each model */
  readonly shares?: readonly number[];
  /** Arrivals that are replayed, instead of drawn ones: `models` in the order of the trace. */
  readonly trace?: Trace;
  readonly jitter?: number;
  /**
   * What each device has loaded at the start, for policies that load. After a failure it has nothing.
   * @defaultValue what is dealt to it by `dealtPlacement`
   */
  readonly loaded?: (device: Device) => readonly string[];
  /** Failures at random. Not beside `outages`. */
  readonly failures?: SimulationOptions["failures"];
  /** Failures at set times. @defaultValue none */
  readonly outages?: readonly Outage[];
  readonly onEvent?: SimulationOptions["onEvent"];
}

export interface ScenarioResult extends SimulationResult {
  /** Loads that were begun. */
  readonly loads: number;
}

/** `count` devices with names of their own. */
export function simulatedDevices(count: number, memoryBytes?: number): readonly Device[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `gpu-${index}`,
    capacity: 1,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  }));
}

/**
 * Runs a policy in a scenario. The same seed gives every policy the same arrivals.
 *
 * @param ratePerSecond - A trace may be replayed at its own times: `undefined`.
 * @throws InvalidOptionError when a model fits into no device, an outage is none that can be, or there is no rate.
 */
export function runScenario(
  scenario: Scenario,
  policy: PolicyName,
  ratePerSecond: number | undefined,
  seed: number,
  timeline = false,
): ScenarioResult {
  const { models, devices, count, gaps = "poisson", jitter = 0, failures, outages = [] } = scenario;
  check(scenario);
  const { shares = models.map(() => 1) } = scenario;
  const trace = scenario.trace
    ? atRate(scenario.trace, ratePerSecond)
    : drawTrace({
        count,
        ratePerSecond: optionsOf("runScenario").number("ratePerSecond", ratePerSecond),
        seed,
        gaps,
        shares,
      });
  const loaded = loadedBy(policy, scenario);
  const scheduler = POLICIES[policy](models);
  let loads = 0;
  const onEvent: SimulationOptions["onEvent"] = (event, commands, now) => {
    for (const { type } of commands) if (type === "load") loads += 1;
    scenario.onEvent?.(event, commands, now);
  };
  const result = simulate({
    scheduler: outages.length > 0 ? new WithOutages(scheduler, outages, devices, loaded) : scheduler,
    trace,
    models,
    devices,
    jitter,
    seed,
    timeline,
    ...(failures ? { failures } : {}),
    ...(loaded ? { loaded } : {}),
    ...(loaded || scenario.onEvent ? { onEvent } : {}),
  });
  return { ...result, loads };
}

/**
 * The highest rate, in requests per second, at which a share of the requests ends in time: found by halving.
 *
 * @param upTo - A rate that nothing reaches.
 * @param goal - The share. @defaultValue 0.99
 */
export function goodputOf(
  scenario: Scenario,
  policy: PolicyName,
  seed: number,
  upTo: number,
  goal = 0.99,
): number {
  let low = 0;
  let high = upTo;
  // To a thousandth of the range.
  for (let step = 0; step < 10; step += 1) {
    const middle = (low + high) / 2;
    if (runScenario(scenario, policy, middle, seed).goodShare >= goal) low = middle;
    else high = middle;
  }
  return low;
}

function check({ models, devices, failures, trace, outages = [] }: Scenario): void {
  const options = optionsOf("runScenario");
  const most = Math.max(...devices.map(({ memoryBytes }) => memoryBytes ?? Infinity));
  for (const { key, memoryBytes = 0 } of models)
    if (memoryBytes > most)
      options.refuse(`models: ${key}`, memoryBytes, `at most ${most} bytes, or it fits nowhere`);
  if (failures !== undefined && outages.length > 0)
    options.refuse("outages", outages, "none beside failures");
  const last = trace?.models.reduce((highest, model) => Math.max(highest, model), 0) ?? 0;
  if (last >= models.length) options.refuse("trace", `model ${last}`, `one of ${models.length} models`);
  checkOutages("runScenario", outages, devices);
}

/** What a device has when it comes up; `undefined` for everything, where nothing is ever loaded. */
function loadedBy(
  policy: PolicyName,
  scenario: Scenario,
): ((device: Device) => readonly string[]) | undefined {
  const { models, devices } = scenario;
  const isPlaced =
    scenario.loaded !== undefined ||
    models.some(({ loadMs = 0 }) => loadMs > 0) ||
    devices.some(({ memoryBytes }) => memoryBytes !== undefined);
  if (!isPlaced) return undefined;
  const dealt = dealtPlacement(models, devices);
  const atFirst = ({ id }: Device): readonly string[] => dealt.get(id)!;
  if (!LOADING_POLICIES.includes(policy)) return atFirst;
  const seen = new Set<string>();
  return (device) => {
    if (seen.has(device.id)) return [];
    seen.add(device.id);
    return (scenario.loaded ?? atFirst)(device);
  };
}

/** From 0 on; squeezed or stretched to a rate, if one is given. Its shape stays. */
function atRate({ times, models }: Trace, ratePerSecond: number | undefined): Trace {
  const first = times[0] ?? 0;
  const spanMs = (times.at(-1) ?? 1) - first || 1;
  const factor = ratePerSecond === undefined ? 1 : ((times.length / ratePerSecond) * 1_000) / spanMs;
  return { times: times.map((at) => (at - first) * factor), models };
}

function holdfast(models: readonly SimulatedModel[]): Policy {
  return new Scheduler({
    models: models.map(({ key, times, sloMs, memoryBytes, loadMs }) => ({
      key,
      times,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(loadMs === undefined ? {} : { loadMs }),
      maxBatch: Math.max(1, Math.floor((sloMs - times.fixedMs) / times.perItemMs)),
    })),
    queueLimit: 1_000_000,
  });
}
