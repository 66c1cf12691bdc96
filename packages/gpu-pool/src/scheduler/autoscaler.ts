// How many devices there should be: deterministic, without I/O, told what the scheduler is told and what it answers.
import type { ScaleCost, Supply, Work } from "./capacity-need.ts";
import { devicesFor, mostFor, slotsFor } from "./capacity-need.ts";
import type { ScheduledRequest, SchedulerCommand, SchedulerEvent } from "./contract.ts";
import { DecayedRate } from "./decayed-rate.ts";

/** How devices are added and taken away. Times in milliseconds. */
export interface AutoscalerOptions {
  /** Fewest and most devices that are started. */
  readonly min: number;
  readonly max: number;
  /** Batches that each of them runs at a time. */
  readonly slotsEach: number;
  /** Batches that devices which are always there run at a time. */
  readonly otherSlots?: number;
  /** The share of their time that devices are to be used. Above 0, at most 1. */
  readonly targetUse: number;
  /** How long a device takes from its order to its first batch, until that was measured. */
  readonly bootMs: number;
  /** Time over which the load is averaged. */
  readonly windowMs: number;
  /** Nothing is taken away for this long after something was added. */
  readonly cooldownMs: number;
  /** How long fewer devices must have been enough before one is taken away. */
  readonly downAfterMs: number;
  /** How long there must have been nothing to do before the last goes, where `min` is 0. */
  readonly zeroAfterMs: number;
  readonly cost?: ScaleCost | undefined;
}

/** What the autoscaler asks the scheduler. */
export interface ScaledWork {
  readonly waiting: number;
  readonly running: number;
  /** Device milliseconds of all that waits and runs. */
  readonly workMs: number;
  /** Leases that are held or waited for. */
  readonly leases: number;
  /** Models that leases wait for and that no device has room for. */
  readonly unplacedLeases: number;
  /** Device milliseconds of a request of a model. */
  costOf(model: string, now: number): number;
  /** Batches that run on a device. */
  runningOn(device: string): number;
  /** Leases that are held on a device. */
  leasesOn(device: string): number;
}

export type ScaleCommand =
  | { readonly type: "start"; readonly count: number }
  /** The device is to be drained, and given back. */
  | { readonly type: "stop"; readonly device: string };

/** Shortest time between two looks, in milliseconds. */
const LOOK_EVERY_MS = 250;

/** Fewer devices must suffice at this share of the target before one goes: what is enough now is enough then. */
const LOW_USE = 0.7;

/** Backlog is to be worked off within this time, or within a boot if that is longer. In milliseconds. */
const CLEAR_WITHIN_MS = 5_000;

/** The share of the load by which it must have grown, within a window or two, to be expected to go on. */
const CLEAR_GROWTH = 0.1;

/** Most windows that growth is carried on for: what comes after is anybody's guess. */
const MOST_AHEAD = 3;

/** Weight of the newest boot in the mean. */
const BOOT_SMOOTHING = 0.3;

/** Longest wait after starts that failed, in milliseconds. */
const MAX_BACKOFF_MS = 300_000;

interface Owned {
  readonly orderedAt: number;
  readonly order: number;
  isUp: boolean;
  isLeaving: boolean;
}

/**
 * Adds devices as soon as the work needs more than there are and are on their way; takes them away one cooldown after
 * the last was added, once fewer would have been enough for a while, with a margin. So an addition is never followed by a
 * removal within the cooldown, and under a constant load it comes to rest.
 */
export class Autoscaler<Request extends ScheduledRequest> {
  readonly #owned = new Map<string, Owned>();
  /** When each order was made that has not come to anything yet. */
  readonly #orders: number[] = [];
  readonly #offered: DecayedRate;
  /** The same over twice the time: how far the two are apart says how fast the load grows. */
  readonly #offeredBefore: DecayedRate;
  #lost: DecayedRate;
  readonly #requests: DecayedRate;
  readonly #max: number;
  #bootMs: number;
  #orderCount = 0;
  #lookAt = 0;
  #lastStartAt = -Infinity;
  #lastRequestAt = -Infinity;
  #lastUpAt = -Infinity;
  #failures = 0;
  #blockedUntil = -Infinity;
  /** Since when fewer have been enough, and the most that were needed since. */
  #low: { readonly since: number; most: number } | undefined;

  constructor(
    private readonly options: AutoscalerOptions,
    private readonly work: ScaledWork,
  ) {
    this.#offered = new DecayedRate(options.windowMs);
    this.#offeredBefore = new DecayedRate(options.windowMs * 2);
    this.#lost = new DecayedRate(options.windowMs);
    this.#requests = new DecayedRate(options.windowMs);
    this.#max = Math.min(options.max, options.cost ? mostFor(options.cost) : Infinity);
    this.#bootMs = options.bootMs;
  }

  /** Devices that were started and have not been given back, those on their way included. */
  get devices(): number {
    return this.#orders.length + this.#staying();
  }

  /** How long a device takes from its order to its first batch, as measured. */
  get bootMs(): number {
    return this.#bootMs;
  }

  /** When it has to be asked again; `Infinity` when only an event can change anything. */
  get nextWake(): number {
    const isAtRest = this.devices <= this.options.min && !this.#isBusy;
    return isAtRest && this.devices >= this.options.min
      ? Infinity
      : Math.max(this.#lookAt, this.#blockedUntil);
  }

  /** Takes in an event and what the scheduler has answered, and says what is to be done. */
  handle(
    event: SchedulerEvent<Request>,
    answered: readonly SchedulerCommand<Request>[],
    now: number,
  ): readonly ScaleCommand[] {
    this.#observe(event, answered, now);
    // From nothing at all, the first request does not wait for its turn.
    const isUrgent = (event.type === "request" || event.type === "acquire") && this.devices === 0;
    if (now < this.#lookAt && !isUrgent) return [];
    this.#lookAt = now + LOOK_EVERY_MS;
    return this.#decide(now);
  }

  /** What was ordered has come: a device, which is up once the scheduler is told so. */
  provided(device: string): void {
    const orderedAt = this.#orders.shift() ?? this.#lastStartAt;
    this.#orderCount += 1;
    this.#owned.set(device, { orderedAt, order: this.#orderCount, isUp: false, isLeaving: false });
    this.#failures = 0;
  }

  /** What was ordered could not be had: it is tried again, later each time. */
  refused(now: number): void {
    this.#orders.shift();
    this.#failures += 1;
    this.#blockedUntil = now + Math.min(MAX_BACKOFF_MS, 1_000 * 2 ** Math.min(20, this.#failures - 1));
  }

  /** A device is to be given back although nobody asked for that: it is broken. */
  discard(device: string): void {
    const owned = this.#owned.get(device);
    if (owned !== undefined) owned.isLeaving = true;
  }

  /** A device is not there any more. */
  gone(device: string): void {
    this.#owned.delete(device);
  }

  owns(device: string): boolean {
    return this.#owned.has(device);
  }

  #observe(
    event: SchedulerEvent<Request>,
    answered: readonly SchedulerCommand<Request>[],
    now: number,
  ): void {
    let isHopeless = false;
    for (const command of answered) {
      if (command.type === "refuse") this.#lost.add(now, this.work.costOf(command.request.model, now));
      else if (command.type === "drop" && command.why === "deadline") {
        // Too late when it came: no number of devices would have helped.
        const isNew = event.type === "request" && event.request.id === command.request.id;
        if (isNew) isHopeless = true;
        else this.#lost.add(now, this.work.costOf(command.request.model, now));
      }
    }
    if (event.type === "request" && !isHopeless) {
      const { model, size = 1 } = event.request;
      const costMs = size * this.work.costOf(model, now);
      this.#offered.add(now, costMs);
      this.#offeredBefore.add(now, costMs);
      this.#requests.add(now, 1);
      this.#lastRequestAt = now;
    } else if (event.type === "device-up") this.#up(event.device.id, now);
    else if (event.type === "device-down") {
      const owned = this.#owned.get(event.device);
      if (owned !== undefined) owned.isUp = false;
    }
  }

  #up(device: string, now: number): void {
    const owned = this.#owned.get(device);
    if (owned === undefined || owned.isUp) return;
    owned.isUp = true;
    // What was lost before says nothing about what will be from now on.
    this.#lost = new DecayedRate(this.options.windowMs);
    this.#lastUpAt = now;
    this.#bootMs += (now - owned.orderedAt - this.#bootMs) * BOOT_SMOOTHING;
  }

  #decide(now: number): readonly ScaleCommand[] {
    const { min, slotsEach, otherSlots = 0, targetUse, cost } = this.options;
    const work = this.#workAt(now);
    const need = (use: number): number => {
      const slots = slotsFor(work, this.#supply(), use, Math.max(this.#bootMs, CLEAR_WITHIN_MS));
      const devices = devicesFor(slots - otherSlots, slotsEach, cost, work);
      return Math.max(min, Math.min(this.#max, devices));
    };
    const have = this.devices;
    // What arrived a while ago still counts in the load, but is no reason to start the first.
    const isWanted = have > 0 || work.isBusy || now - this.#lastRequestAt < LOOK_EVERY_MS;
    const wanted = Math.max(isWanted ? need(targetUse) : min, this.#leasesNeed());
    if (wanted > have) {
      this.#low = undefined;
      if (now < this.#blockedUntil) return [];
      const count = wanted - have;
      for (let one = 0; one < count; one += 1) this.#orders.push(now);
      this.#lastStartAt = now;
      return [{ type: "start", count }];
    }
    const isIdle = !work.isBusy && now - this.#lastRequestAt >= this.options.zeroAfterMs;
    // One stays while there may be something to do, unless others are always there.
    const least = isIdle || otherSlots > 0 ? min : Math.max(1, min);
    return this.#fewer(isIdle ? min : Math.max(need(targetUse * LOW_USE), least), have, isIdle, now);
  }

  /** One more than there are while a lease waits for room, and none is on its way: held leases never make any. */
  #leasesNeed(): number {
    const isAnyComing = this.#orders.length > 0 || [...this.#owned.values()].some(({ isUp }) => !isUp);
    return this.work.unplacedLeases > 0 && !isAnyComing ? Math.min(this.#max, this.devices + 1) : 0;
  }

  get #isBusy(): boolean {
    return this.work.waiting + this.work.running + this.work.leases > 0;
  }

  /** Takes devices away, down to the most that were needed while fewer than there are have been enough. */
  #fewer(needed: number, have: number, isIdle: boolean, now: number): readonly ScaleCommand[] {
    const { cooldownMs, downAfterMs } = this.options;
    if (needed >= have) {
      this.#low = undefined;
      return [];
    }
    this.#low ??= { since: now, most: needed };
    // When there has been nothing to do for that long, what was needed before does not matter.
    this.#low.most = isIdle ? needed : Math.max(this.#low.most, needed);
    const isRipe = isIdle || now - this.#low.since >= downAfterMs;
    if (!isRipe || now - this.#lastStartAt < cooldownMs || this.#orders.length > 0) return [];
    const devices = this.#idlest(have - this.#low.most);
    this.#low = undefined;
    for (const device of devices) this.#owned.get(device)!.isLeaving = true;
    return devices.map((device) => ({ type: "stop", device }));
  }

  /** Those that run the least; of these, the newest. */
  #idlest(count: number): readonly string[] {
    return [...this.#owned]
      .filter(([id, { isUp, isLeaving }]) => isUp && !isLeaving && this.work.leasesOn(id) === 0)
      .map(([id, { order }]) => ({ id, order, running: this.work.runningOn(id) }))
      .sort((a, b) => a.running - b.running || b.order - a.order)
      .slice(0, Math.max(0, count))
      .map(({ id }) => id);
  }

  /** What is offered now; where it clearly grows, what will be once a device that is ordered now is up. */
  #offeredAt(now: number): number {
    const offered = this.#offered.at(now);
    const growth = offered - this.#offeredBefore.at(now);
    if (growth < CLEAR_GROWTH * offered) return offered;
    return offered + growth * (1 + Math.min(MOST_AHEAD, this.#bootMs / this.options.windowMs));
  }

  #workAt(now: number): Work {
    return {
      offered: this.#offeredAt(now),
      lost: now - this.#lastUpAt < this.options.windowMs / 2 ? 0 : this.#lost.at(now),
      backlogMs: this.work.workMs,
      isBusy: this.#isBusy,
      requestRate: this.#requests.at(now),
    };
  }

  #supply(): Supply {
    const { slotsEach, otherSlots = 0 } = this.options;
    let up = 0;
    for (const { isUp, isLeaving } of this.#owned.values()) if (isUp && !isLeaving) up += 1;
    return { up: up * slotsEach + otherSlots, coming: this.devices * slotsEach + otherSlots };
  }

  #staying(): number {
    let count = 0;
    for (const { isLeaving } of this.#owned.values()) if (!isLeaving) count += 1;
    return count;
  }
}
