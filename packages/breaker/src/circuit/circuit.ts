// The state machine of a circuit breaker. Told the time; keeps no timers, so that a breaker nobody uses costs nothing.
import type { Random } from "@holdfast/core";
import type { CircuitReason, CircuitState } from "./contract.ts";
import type { OpenTime } from "./open-time.ts";
import type { TripCounter, WindowCounts } from "./rules/rule.ts";

/** Times in milliseconds. */
export interface CircuitSettings {
  readonly counter: TripCounter;
  readonly openTime: OpenTime;
  readonly probes: number;
  readonly probeDeadlineMs: number;
  /** 0: no ramp-up. */
  readonly rampOverMs: number;
  readonly rampFrom: number;
  readonly random: Random;
  /** Monotonic. */
  readonly now: () => number;
}

/** A change of state, for those who are told. */
export interface Transition {
  readonly from: CircuitState;
  readonly to: CircuitState;
  readonly reason: CircuitReason;
  readonly generation: number;
  readonly openForMs: number | undefined;
  /** For how long the callee has asked to be left alone; 0 if it has not. */
  readonly askedMs: number;
  readonly error: unknown;
  /** The probe that has failed, or hung. */
  readonly probe: Probe | undefined;
}

/** The right to one call in `half-open`. */
export interface Probe {
  readonly endsAt: number;
}

/** Who is told how probes have ended. */
export interface ProbeJudge {
  probeEnded(probe: Probe, failed: boolean, now: number, error?: unknown): void;
  /** It says nothing: another may go in its place. */
  probeForgotten(probe: Probe): void;
}

/** What becomes of a call: judged by the rule, a probe, or refused. */
export type Admission =
  | { readonly kind: "judged"; readonly generation: number }
  | { readonly kind: "probe"; readonly generation: number; readonly probe: Probe }
  | { readonly kind: "refused"; readonly state: CircuitState; readonly retryAfterMs: number | undefined };

/** Longest time to come back that is told while the load ramps up. */
const RAMP_RETRY_MS = 1_000;

export class Circuit implements ProbeJudge {
  #state: CircuitState = "closed";
  #generation = 0;
  #ramping = false;
  #rampStartedAt = 0;
  #openUntil = 0;
  #lastOpenMs = 0;
  #closedAt = -Infinity;
  #opens = 0;
  readonly #probes = new Set<Probe>();
  #probed = 0;
  /** Who holds it open. */
  readonly #isolations = new Set<object>();
  /** Told by failures of this generation: not before this time. */
  #notBefore = -Infinity;

  constructor(
    private readonly settings: CircuitSettings,
    private readonly onChange: (transition: Transition) => void,
  ) {}

  get generation(): number {
    return this.#generation;
  }

  /** Whether every call passes: no need to ask {@link admit}. */
  get isOpenToAll(): boolean {
    return this.#state === "closed" && !this.#ramping;
  }

  get opens(): number {
    return this.#opens;
  }

  get probing(): number {
    return this.#probes.size;
  }

  get probed(): number {
    return this.#probed;
  }

  stateAt(now: number): CircuitState {
    this.#catchUp(now);
    return this.#state;
  }

  openForMs(now: number): number | undefined {
    return this.#state === "open" ? Math.max(0, this.#openUntil - now) : undefined;
  }

  counts(now: number): WindowCounts {
    return this.settings.counter.counts(now);
  }

  /** Share of calls that pass. */
  shareAt(now: number): number {
    this.#catchUp(now);
    if (this.#state !== "closed") return 0;
    return this.#ramping ? this.#rampShare(now) : 1;
  }

  admit(now: number): Admission {
    this.#catchUp(now);
    switch (this.#state) {
      case "closed":
        if (!this.#ramping || this.settings.random() < this.#rampShare(now))
          return { kind: "judged", generation: this.#generation };
        return this.#refused(Math.min(RAMP_RETRY_MS, this.#rampStartedAt + this.settings.rampOverMs - now));
      case "half-open":
        return this.#admitProbe(now);
      case "open":
        return this.#refused(this.#openUntil - now);
      case "isolated":
        return this.#refused(undefined);
    }
  }

  /**
   * A judged call has ended. One of another generation says nothing about this one.
   *
   * @param now - Looked at only by rules that need the time.
   */
  record(generation: number, failed: boolean, slow: boolean, now: number, error?: unknown): void {
    if (generation !== this.#generation || this.#state !== "closed") return;
    // A call that was well can trip it too: the one with which a rate begins to mean something.
    if (this.settings.counter.record(failed, slow, now)) this.#open(this.settings.now(), "tripped", error);
  }

  /** A failure has asked not to come back before `until`. */
  askedToWait(generation: number, until: number): void {
    if (generation === this.#generation) this.#notBefore = Math.max(this.#notBefore, until);
  }

  probeEnded(probe: Probe, failed: boolean, now: number, error?: unknown): void {
    if (!this.#probes.has(probe)) return;
    // It came too late, and nobody has looked since.
    if (now >= probe.endsAt) {
      this.#open(now, "probe_hung", undefined, probe);
      return;
    }
    this.#probes.delete(probe);
    if (failed) {
      this.#open(now, "probe_failed", error, probe);
      return;
    }
    this.#probed += 1;
    if (this.#probed >= this.settings.probes) this.#close(now, "probes_succeeded", true);
  }

  probeForgotten(probe: Probe): void {
    this.#probes.delete(probe);
  }

  /** Holds it open until it is released by this name, and by all others. */
  isolate(holder: object, now: number): void {
    this.#isolations.add(holder);
    if (this.#state !== "isolated") this.#become("isolated", "isolated", now);
  }

  /** Ends one isolation; with the last of them it probes. */
  release(holder: object, now: number): void {
    if (this.#isolations.delete(holder) && this.#isolations.size === 0)
      this.#become("half-open", "released", now);
  }

  reset(now: number): void {
    this.#isolations.clear();
    this.#opens = 0;
    this.#lastOpenMs = 0;
    this.#close(now, "reset", false);
  }

  /** Opens for `openMs` from now, whatever the rule says. Where it is open, only that time changes. */
  openFor(now: number, openMs: number, opens: number, reason: CircuitReason): void {
    if (this.#state === "isolated") return;
    this.#opens = opens;
    this.#lastOpenMs = openMs;
    this.#openUntil = now + openMs;
    if (this.#state !== "open") this.#become("open", reason, now);
  }

  /** Closes, with a ramp-up, what is open or half-open. */
  closeFor(reason: CircuitReason, now: number): void {
    if (this.#state === "open" || this.#state === "half-open") this.#close(now, reason, true);
  }

  /** What happens by itself: an open time ends, a ramp-up ends, probes hang. */
  #catchUp(now: number): void {
    if (this.#state === "open" && now >= this.#openUntil) this.#become("half-open", "open_time_over", now);
    if (this.#ramping && now >= this.#rampStartedAt + this.settings.rampOverMs) this.#ramping = false;
    if (this.#state !== "half-open") return;
    for (const probe of this.#probes)
      if (now >= probe.endsAt) {
        this.#open(now, "probe_hung", undefined, probe);
        return;
      }
  }

  #admitProbe(now: number): Admission {
    const { probes, probeDeadlineMs } = this.settings;
    if (this.#probes.size >= probes - this.#probed) {
      let firstEnd = Infinity;
      for (const { endsAt } of this.#probes) firstEnd = Math.min(firstEnd, endsAt);
      return this.#refused(firstEnd - now);
    }
    const probe = { endsAt: now + probeDeadlineMs };
    this.#probes.add(probe);
    return { kind: "probe", generation: this.#generation, probe };
  }

  #refused(retryAfterMs: number | undefined): Admission {
    return { kind: "refused", state: this.#state, retryAfterMs };
  }

  #rampShare(now: number): number {
    const { rampFrom, rampOverMs } = this.settings;
    return rampFrom + ((1 - rampFrom) * (now - this.#rampStartedAt)) / rampOverMs;
  }

  #open(now: number, reason: CircuitReason, error: unknown, probe?: Probe): void {
    const { openTime, random } = this.settings;
    // A callee that was well for as long as it was left alone begins anew.
    const rested = this.#state === "closed" && now - this.#closedAt >= this.#lastOpenMs;
    this.#opens = rested ? 1 : this.#opens + 1;
    const ownMs = openTime.ms(this.#opens, random);
    this.#lastOpenMs = ownMs;
    this.#openUntil = Math.max(now + ownMs, this.#notBefore);
    this.#become("open", reason, now, error, probe);
  }

  #close(now: number, reason: CircuitReason, ramp: boolean): void {
    this.#closedAt = now;
    this.#ramping = ramp && this.settings.rampOverMs > 0;
    this.#rampStartedAt = now;
    this.#become("closed", reason, now);
  }

  #become(to: CircuitState, reason: CircuitReason, now: number, error?: unknown, probe?: Probe): void {
    const from = this.#state;
    const askedMs = Math.max(0, this.#notBefore - now);
    this.#state = to;
    this.#generation += 1;
    this.#probes.clear();
    this.#probed = 0;
    this.#notBefore = -Infinity;
    this.settings.counter.reset();
    if (to !== "closed") this.#ramping = false;
    const openForMs = to === "open" ? this.#openUntil - now : undefined;
    this.onChange({ from, to, reason, generation: this.#generation, openForMs, askedMs, error, probe });
  }
}
