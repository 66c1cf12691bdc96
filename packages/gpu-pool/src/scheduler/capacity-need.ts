// How many devices the work needs: arithmetic over what arrives, what has piled up, what is lost, and what it costs.

/** Money, in any unit. */
export interface ScaleCost {
  /** What a device costs in an hour. Above 0. */
  readonly perDeviceHour: number;
  /** What an answer is worth: a device is started only if what it would answer is worth it. @defaultValue no limit */
  readonly worthPerRequest?: number;
  /** Most that all devices together may cost in an hour. @defaultValue no limit */
  readonly maxPerHour?: number;
}

/** What the devices have to do. A slot is room for one batch at a time. */
export interface Work {
  /** Slots' worth of time that arrives. */
  readonly offered: number;
  /** Slots' worth of time that was refused, or dropped after it had waited. */
  readonly lost: number;
  /** Device milliseconds of all that waits and runs. */
  readonly backlogMs: number;
  /** Anything waits or runs. */
  readonly isBusy: boolean;
  /** Requests per millisecond. */
  readonly requestRate: number;
}

/** What there is to do it. */
export interface Supply {
  /** Slots that are up, those of devices that are always there included. */
  readonly up: number;
  /** Slots that are up or on their way. */
  readonly coming: number;
}

/** The part of a device that may be missing. */
const SLACK = 0.1;

/** Share of what arrives that may be lost before more is needed than the load says. */
const LOST_SHARE = 0.01;

/** With less of the slots used than this, what is lost is not lost for want of devices. */
const LOST_AT_USE = 0.5;

/**
 * Slots that the work needs.
 *
 * @param use - The share of a slot's time that is to be used. From 0 to 1.
 * @param horizonMs - Time within which what has piled up is to be worked off: no shorter than a device takes to start,
 * for what is gone by then is no reason to start one.
 */
export function slotsFor(work: Work, supply: Supply, use: number, horizonMs: number): number {
  const steady = work.offered / use;
  const piledUp = work.offered + work.backlogMs / horizonMs;
  // Everything says that there is enough, and still work is lost: more, once it is known what the last ones have changed.
  const isLost =
    work.lost > LOST_SHARE * work.offered &&
    supply.up > 0 &&
    supply.up === supply.coming &&
    work.offered > LOST_AT_USE * supply.up;
  const lost = isLost ? supply.up + Math.max(work.lost, 1e-3) : 0;
  return Math.max(steady, piledUp, lost, work.isBusy ? 1e-3 : 0);
}

/** Most devices that may cost what all may. */
export function mostFor({ perDeviceHour, maxPerHour }: ScaleCost): number {
  return maxPerHour === undefined ? Infinity : Math.floor(maxPerHour / perDeviceHour + 1e-9);
}

/** Whole devices of a number of slots; the last only if it is worth what it costs. */
export function devicesFor(
  slots: number,
  slotsEach: number,
  cost: ScaleCost | undefined,
  work: Pick<Work, "offered" | "requestRate">,
): number {
  const exact = Math.max(0, slots) / slotsEach;
  // Nobody adds a device for a tenth of one: the share that is to be used is no sharp line.
  const all = exact <= 0 ? 0 : Math.max(1, Math.ceil(exact - SLACK));
  if (cost?.worthPerRequest === undefined || all === 0 || work.offered === 0) return all;
  // Requests that a slot's worth of time answers in an hour.
  const perSlotHour = (work.requestRate / work.offered) * 3_600_000;
  const partOfLast = exact - (all - 1);
  const earns = partOfLast * slotsEach * perSlotHour * cost.worthPerRequest;
  return earns >= cost.perDeviceHour ? all : all - 1;
}
