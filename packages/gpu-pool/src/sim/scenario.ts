// One situation in which schedulers are compared: models, devices, arrivals; and what a scheduler reaches in it.
import type { Device } from "../device.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { Trace } from "./arrivals.ts";
import { drawTrace } from "./arrivals.ts";
import type { SimulatedModel } from "./model.ts";
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

export interface Scenario {
  readonly models: readonly SimulatedModel[];
  readonly devices: readonly Device[];
  /** Requests in a run. */
  readonly count: number;
  readonly gaps?: "poisson" | { readonly gammaShape: number };
  /** @defaultValue the same for each model */
  readonly shares?: readonly number[];
  /** Arrivals that are replayed at another rate, instead of drawn ones. */
  readonly trace?: Trace;
  readonly jitter?: number;
  readonly failures?: SimulationOptions["failures"];
}

/** `count` devices with names of their own. */
export function simulatedDevices(count: number): readonly Device[] {
  return Array.from({ length: count }, (_, index) => ({ id: `gpu-${index}`, capacity: 1 }));
}

/** Runs a policy in a scenario at a rate. The same seed gives every policy the same arrivals. */
export function runScenario(
  scenario: Scenario,
  policy: PolicyName,
  ratePerSecond: number,
  seed: number,
  timeline = false,
): SimulationResult {
  const { models, devices, count, gaps = "poisson", jitter = 0, failures } = scenario;
  const shares = scenario.shares ?? models.map(() => 1);
  const trace = scenario.trace
    ? atRate(scenario.trace, ratePerSecond)
    : drawTrace({ count, ratePerSecond, seed, gaps, shares });
  return simulate({
    scheduler: POLICIES[policy](models),
    trace,
    models,
    devices,
    jitter,
    seed,
    timeline,
    ...(failures ? { failures } : {}),
  });
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

/** Squeezed or stretched to a rate; its shape stays. */
function atRate({ times, models }: Trace, ratePerSecond: number): Trace {
  const first = times[0] ?? 0;
  const factor = ((times.length / ratePerSecond) * 1_000) / ((times.at(-1) ?? 1) - first || 1);
  return { times: times.map((at) => (at - first) * factor), models };
}

function holdfast(models: readonly SimulatedModel[]): Policy {
  return new Scheduler({
    models: models.map(({ key, times, sloMs }) => ({
      key,
      times,
      maxBatch: Math.max(1, Math.floor((sloMs - times.fixedMs) / times.perItemMs)),
    })),
    queueLimit: 1_000_000,
  });
}
