// How large batches should be and how long they may fill: arithmetic over times, deadlines and load.
import type { BatchTimes } from "./contract.ts";
import { decay, TAU_MS, watched } from "./decayed-rate.ts";

/** What the devices have to do, by what arrives. */
export interface Load {
  /** Share of the devices' time that is needed at full batches. */
  readonly use: number;
  /** The share of a full batch at which the devices only just keep up. From 0 to 1. */
  readonly scale: number;
}

/** Below this use, batches may fill while devices idle: less device time for the same work. */
const CALM_USE = 0.65;

/**
 * Under load, the smallest batch worth keeping, as a share of a full one: who would make its batch smaller is dropped.
 * Found by simulation, flat between 0.7 and 0.85.
 */
const WINDOW_SHARE = 0.75;

/** Overload, as use beyond 1, from which on only full batches are worth keeping. */
const FULL_WINDOW_AT = 0.1;

/** How much an early or late next device changes the size that is waited for. Found by simulation, as the others. */
const GAP_WEIGHT = 0.1;

/** Longest that a batch may fill, in times of the batch itself: a deadline of minutes is no reason to wait for it. */
export const MOST_FILLS = 2;

/**
 * The largest batch that a steady stream fills and ends in time: `time(b) + b ÷ rate ≤ slo`. With all devices taking
 * turns this is Symphony's staggered size, `time(b) × (1 + 1/n) ≤ slo`.
 */
export function fullBatch(times: BatchTimes, sloMs: number, ratePerMs: number, most: number): number {
  const perItemMs = times.perItemMs + 1 / Math.max(ratePerMs, 1e-9);
  return Math.max(1, Math.min(most, Math.floor((sloMs - times.fixedMs) / perItemMs)));
}

/**
 * Units from which on a batch starts although it could still grow. While devices idle and load is low it fills up to
 * its deadline. Under pressure, a model that keeps several devices busy starts half-way between a full batch and the
 * least that the load allows: a device that waits for the last few is lost to all. One that shares a device with others
 * starts at once: while it waits, so do they.
 *
 * @param needed - Devices' worth of time that the model's requests take.
 * @param gap - Time until the next device is free, as a multiple of the time between two at full use; 1 if not known.
 */
export function sizeToStart(full: number, needed: number, load: Load, idle: number, gap: number): number {
  if (idle >= 2 && load.use < CALM_USE) return Infinity;
  if (needed < 1) return 1;
  const half = (full * (1 + load.scale)) / 2;
  return half * (1 + GAP_WEIGHT * (Math.min(2, gap) - 1));
}

/** Units below which a request that is too late for a larger batch gives way to those behind it. */
export function sizeToKeep(full: number, load: Load): number {
  const overload = Math.min(1, Math.max(0, (load.use - 1) / FULL_WINDOW_AT));
  return Math.min(load.scale, WINDOW_SHARE + (1 - WINDOW_SHARE) * overload) * full;
}

/** Measures the load: device time that what arrives will take, as rates that decay together. */
export class LoadGauge {
  /** Of what is proportional to the units, in device milliseconds. */
  #items = 0;
  /** Of what every batch costs, if all were full. */
  #batches = 0;
  #at = 0;
  #since = -1;

  arrived(now: number, units: number, times: BatchTimes, full: number): void {
    if (this.#since < 0) this.#since = now;
    const kept = decay(now - this.#at, TAU_MS);
    this.#items = this.#items * kept + units * times.perItemMs;
    this.#batches = this.#batches * kept + (units * times.fixedMs) / full;
    this.#at = now;
  }

  /** @param devices - That are up. */
  at(now: number, devices: number): Load {
    const watchedMs = this.#since < 0 ? 1 : TAU_MS * watched(now - this.#since, TAU_MS);
    const kept = decay(now - this.#at, TAU_MS);
    const items = (this.#items * kept) / watchedMs;
    const batches = (this.#batches * kept) / watchedMs;
    const spare = devices - items;
    return {
      use: (items + batches) / Math.max(1, devices),
      scale: spare <= batches ? 1 : batches / spare,
    };
  }
}
