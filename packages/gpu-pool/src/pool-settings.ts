// The options of a pool, checked, as its parts need them.
import type { Clock, OptionReader } from "@holdfast/core";
import { systemClock } from "@holdfast/core";
import type { AutoscaleOptions, CanaryOptions, GpuPoolOptions } from "./contract.ts";
import { GPU_POOL_DEFAULTS } from "./defaults.ts";
import { checkDevice } from "./devices-of.ts";
import type { Canary } from "./health/canary.ts";
import type { ModelList } from "./model-list.ts";
import type { AutoscalerOptions } from "./scheduler/autoscaler.ts";
import type { ScaleCost } from "./scheduler/capacity-need.ts";
import type { SchedulerOptions } from "./scheduler/contract.ts";
import type { SupervisionSettings } from "./supervised-device.ts";
import type { DeviceProvider } from "./worker.ts";

export interface PoolSettings {
  readonly name: string;
  readonly clock: Clock;
  readonly cancelGraceMs: number;
  readonly scheduling: SchedulerOptions;
  readonly supervision: SupervisionSettings;
}

export function poolSettings(options: GpuPoolOptions, models: ModelList, check: OptionReader): PoolSettings {
  const defaults = GPU_POOL_DEFAULTS;
  const clock = options.clock ?? systemClock;
  const { startTimeoutMs, heartbeatMs, quarantineAfter } = defaults;
  const weightOf = check.function("tenantWeight", options.tenantWeight);
  const tenantShare = check.number("tenantShare", options.tenantShare, { min: 0, max: 1 }, 1);
  return {
    name: check.string("name", options.name, 255, "gpu-pool"),
    clock,
    cancelGraceMs: check.duration("cancelGrace", options.cancelGrace, {}, defaults.cancelGraceMs),
    scheduling: {
      models: models.all,
      queueLimit: check.integer("queueLimit", options.queueLimit, { min: 0 }, defaults.queueLimit),
      agingMs: check.duration("aging", options.aging, { min: 1 }, defaults.agingMs),
      tenantShare: tenantShare === 0 ? check.refuse("tenantShare", tenantShare, "above 0") : tenantShare,
      ...(weightOf ? { weightOf } : {}),
    },
    supervision: {
      clock,
      canary: options.canary ? canaryOf(options.canary, models, check) : undefined,
      startTimeoutMs: check.duration("startTimeout", options.startTimeout, { min: 1 }, startTimeoutMs),
      heartbeatMs: check.duration("heartbeat", options.heartbeat, { min: 10 }, heartbeatMs),
      quarantineAfter: check.integer("quarantineAfter", options.quarantineAfter, { min: 1 }, quarantineAfter),
      restartBaseMs: defaults.restartBaseMs,
      restartCapMs: defaults.restartCapMs,
    },
  };
}

/** Where devices come from that come and go; none without. What each is like has been checked. */
export function providerOf(options: GpuPoolOptions, check: OptionReader): DeviceProvider | undefined {
  const { autoscale } = check.object("options", options);
  if (autoscale === undefined) return undefined;
  const { provider } = check.object("autoscale", autoscale);
  if (typeof provider?.start !== "function" || typeof provider.stop !== "function")
    check.refuse("autoscale: provider", provider, "a provider with workers, device, start and stop");
  const device = check.object("autoscale: provider: device", provider.device);
  checkDevice({ ...device, id: "a device" }, "autoscale: provider", check);
  return provider;
}

/** @param otherSlots - Batches that devices which are always there run at a time. */
export function scalingOf(
  options: AutoscaleOptions,
  otherSlots: number,
  check: OptionReader,
): AutoscalerOptions {
  const defaults = GPU_POOL_DEFAULTS;
  const { provider } = options;
  const named = (name: keyof AutoscaleOptions): string => `autoscale: ${name}`;
  const ms = (name: "boot" | "window" | "cooldown" | "downAfter" | "zeroAfter", standard: number): number =>
    check.duration(named(name), options[name], { min: name === "window" ? 100 : 0 }, standard);
  const min = check.integer(named("min"), options.min, { min: 0 }, 0);
  const targetUse = check.number(
    named("targetUse"),
    options.targetUse,
    { min: 0, max: 1 },
    defaults.targetUse,
  );
  return {
    min,
    max: check.integer(named("max"), options.max, { min: Math.max(1, min), max: 10_000 }),
    slotsEach: provider.device.capacity,
    otherSlots,
    targetUse: targetUse === 0 ? check.refuse(named("targetUse"), targetUse, "above 0") : targetUse,
    bootMs: ms("boot", defaults.bootMs),
    windowMs: ms("window", defaults.scaleWindowMs),
    cooldownMs: ms("cooldown", defaults.scaleCooldownMs),
    downAfterMs: ms("downAfter", defaults.scaleDownAfterMs),
    zeroAfterMs: ms("zeroAfter", defaults.zeroAfterMs),
    cost: options.cost === undefined ? undefined : costOf(options.cost, check),
  };
}

function costOf(cost: ScaleCost, check: OptionReader): ScaleCost {
  const { perDeviceHour, worthPerRequest, maxPerHour } = check.object("autoscale: cost", cost);
  const isSum = (value: unknown): boolean => typeof value === "number" && Number.isFinite(value) && value > 0;
  for (const [name, value] of Object.entries({ worthPerRequest, maxPerHour }))
    if (value !== undefined && !isSum(value))
      check.refuse(`autoscale: cost: ${name}`, value, "a number above 0");
  if (!isSum(perDeviceHour))
    check.refuse("autoscale: cost: perDeviceHour", perDeviceHour, "a number above 0");
  return cost;
}

function canaryOf(options: CanaryOptions, models: ModelList, check: OptionReader): Canary {
  const model = models.find(options.model);
  if (model === undefined) return check.refuse("canary", options.model, "a model of the pool");
  const { key, name, version } = model;
  const { canaryTimeoutMs } = GPU_POOL_DEFAULTS;
  return {
    model: { key, name, version },
    input: options.input,
    accepts: check.function("canary: accepts", options.accepts) ?? (() => true),
    timeoutMs: check.duration("canary: timeout", options.timeout, { min: 1 }, canaryTimeoutMs),
  };
}
