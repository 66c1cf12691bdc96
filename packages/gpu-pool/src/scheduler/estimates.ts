// What decisions rest on: times by model and type of device, sizes of batches, load and backlog, all as measured.
import { BatchProfile } from "./batch-profile.ts";
import type { Load } from "./batching.ts";
import { fullBatch, LoadGauge } from "./batching.ts";
import type { ScheduledRequest } from "./contract.ts";
import type { Entry, ModelState } from "./state.ts";

/** Batches at a reduced size that have to go well before twice as much is tried. */
const CAP_DOUBLES_AFTER = 64;

/** Weight of the newest in a running mean. */
const SMOOTHING = 0.2;

export class Estimates<Request extends ScheduledRequest> {
  /** The most frequent type of the devices that are up: what is decided before a device is known goes by it. */
  type = "";
  readonly #load = new LoadGauge();
  #backlogMs = 0;
  /** Mean device milliseconds of a request, of any model; stands in for models that have not run. */
  #meanMs = 0;
  /** Requests held for models that have not run. */
  #unmeasured = 0;

  /** Device milliseconds of all that waits and runs. */
  get backlogMs(): number {
    return Math.max(0, this.#backlogMs);
  }

  loadAt(now: number, capacity: number): Load {
    return this.#load.at(now, capacity);
  }

  arrived(model: ModelState<Request>, { request, size }: Entry<Request>, now: number): void {
    model.rate.add(now, size);
    if (request.deadline < Infinity) {
      const within = request.deadline - now;
      model.sloMs = model.sloMs === 0 ? within : model.sloMs + (within - model.sloMs) * SMOOTHING;
    }
    const profile = this.profileOf(model, this.type);
    if (profile.isKnown) this.#load.arrived(now, size, profile, this.fullBatchOf(model, profile, now));
  }

  /** One more request waits or runs, or one less. */
  hold(model: ModelState<Request>, change: 1 | -1): void {
    model.held += change;
    if (model.meanMs === 0) this.#unmeasured += change;
    this.#backlogMs += change * (model.meanMs === 0 ? this.#meanMs : model.meanMs);
  }

  /** A batch has ended as it should. */
  ended(model: ModelState<Request>, type: string, units: number, ms: number): void {
    this.profileOf(model, type).record(units, ms);
    this.#noteLeast(model);
    this.#learn(model, ms / units);
    const cap = model.caps?.get(type);
    if (cap === undefined || units < cap.units) return;
    cap.good += 1;
    if (cap.good < CAP_DOUBLES_AFTER) return;
    cap.good = 0;
    cap.units *= 2;
    if (cap.units >= model.maxBatch) model.caps!.delete(type);
  }

  /** A batch of these units did not fit into the memory. */
  lowerCap(model: ModelState<Request>, type: string, units: number): void {
    model.caps ??= new Map();
    model.caps.set(type, { units: Math.max(1, Math.floor(units / 2)), good: 0 });
  }

  /** Devices' worth of time that a model's requests take. */
  neededOf(model: ModelState<Request>, now: number): number {
    const profile = this.profileOf(model, this.type);
    const full = this.fullBatchOf(model, profile, now);
    return (model.rate.at(now) * profile.timeOf(full)) / full;
  }

  /** Device milliseconds of one of its requests, at the size of batches that is expected; 0 while nothing is known. */
  costOf(model: ModelState<Request>, now: number): number {
    const profile = this.profileOf(model, this.type);
    // Without deadlines nothing says how full batches will be: then it is what they were.
    if (!profile.isKnown || (model.sloMs === 0 && model.meanMs > 0))
      return model.meanMs > 0 ? model.meanMs : this.#meanMs;
    const full = this.fullBatchOf(model, profile, now);
    return profile.timeOf(full) / full;
  }

  fullBatchOf(model: ModelState<Request>, profile: BatchProfile, now: number): number {
    if (model.maxBatch === 1 || model.sloMs === 0) return model.maxBatch;
    return fullBatch(profile, model.sloMs, model.rate.at(now), model.maxBatch);
  }

  /** Most units of a batch. */
  mostOf(model: ModelState<Request>, type: string): number {
    if (model.maxBatch === 1) return 1;
    const cap = model.caps?.get(type)?.units ?? Infinity;
    // The simple mode finds nothing out: its size was given.
    const reach = model.maxDelayMs === undefined ? this.profileOf(model, type).reach : Infinity;
    return Math.min(model.maxBatch, cap, reach);
  }

  profileOf(model: ModelState<Request>, type: string): BatchProfile {
    // Mostly all devices are of one type.
    if (model.lastType === type && model.lastProfile !== undefined) return model.lastProfile;
    let profile = model.profiles.get(type);
    if (profile === undefined) {
      profile = new BatchProfile(model.spec.timesByType?.[type] ?? model.spec.times);
      model.profiles.set(type, profile);
      this.#noteLeast(model);
    }
    model.lastType = type;
    model.lastProfile = profile;
    return profile;
  }

  #noteLeast(model: ModelState<Request>): void {
    let least = Infinity;
    for (const profile of model.profiles.values()) least = Math.min(least, profile.leastMs);
    model.leastMs = least;
  }

  #learn(model: ModelState<Request>, ms: number): void {
    if (model.meanMs === 0) {
      this.#unmeasured -= model.held;
      this.#backlogMs += model.held * (ms - this.#meanMs);
      model.meanMs = ms;
    } else {
      const change = (ms - model.meanMs) * SMOOTHING;
      this.#backlogMs += model.held * change;
      model.meanMs += change;
    }
    const change = this.#meanMs === 0 ? ms : (ms - this.#meanMs) * SMOOTHING;
    this.#backlogMs += this.#unmeasured * change;
    this.#meanMs += change;
  }
}
