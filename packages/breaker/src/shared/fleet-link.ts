// Ties a breaker's own circuit to the fleet's: votes when it trips, follows what the fleet decides, probes by lease.
import type { Context, Random } from "@holdfast/core";
import type { Admission, Circuit, Probe, ProbeJudge, Transition } from "../circuit/circuit.ts";
import type { OpenTime } from "../circuit/open-time.ts";
import type { Member, Membership } from "./membership.ts";
import type { ShareSnapshot } from "./share.ts";
import type { FleetCircuit, FleetOpenTime, ProbeEnd, ProbeEndAnswer } from "./store.ts";

/** What of a breaker's settings the fleet needs. */
export interface LinkSettings {
  readonly openTime: OpenTime;
  readonly probes: number;
  readonly probeDeadlineMs: number;
  readonly random: Random;
}

/** All that is done to the breaker's own circuit. */
export type OwnCircuit = Pick<
  Circuit,
  "admit" | "awaits" | "closeFor" | "openFor" | "probeEnded" | "probeForgotten" | "stateAt"
>;

/** A probe that may go. */
export type ProbeAdmission = Admission & { readonly kind: "probe" };

/** The right to one probe, until the store's clock has passed its end. */
interface Lease {
  readonly token: string;
  readonly generation: number;
}

/** Once the fleet has no place it is not asked again for so long, in milliseconds, whatever the traffic. */
const ASK_AGAIN_MS = 250;

/** While alone, a call that finds the circuit not closed looks for the fleet so often at most, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;

export class FleetLink implements Member, ProbeJudge {
  #fleet: FleetCircuit;
  /** Whether what holds the own circuit open is the fleet's word, so that it also closes by it. */
  #isHeld = false;
  /** Whether the own circuit has tripped and the fleet does not know it yet. */
  #isUnsaid = false;
  #isVoting = false;
  #askedMs = 0;
  readonly #leases = new Map<Probe, Lease>();
  /** A lease for the next call of those that cannot wait for one. */
  #inHand: (Lease & { readonly usableUntil: number }) | undefined;
  #isAskingAhead = false;
  #askAgainAt = -Infinity;
  #lookAgainAt = -Infinity;

  constructor(
    readonly key: string,
    private readonly circuit: OwnCircuit,
    private readonly membership: Membership,
    private readonly settings: LinkSettings,
  ) {
    const none = { openForMs: 0, opens: 0, votes: 0, probing: 0, probed: 0 };
    this.#fleet = { key, generation: 0, state: "closed", ...none };
    membership.join(this);
  }

  /** Whether a probe needs a lease: the fleet is there, and open. Looks for a fleet that is not there. */
  needsLease(): boolean {
    if (this.membership.status === "alone") this.#lookForFleet();
    return this.#fleetDecides;
  }

  snapshot(): ShareSnapshot {
    const { status, standsForMs, settings } = this.membership;
    const { state, generation, votes, probing, probed } = this.#fleet;
    const fleet = { state, generation, votes, probing, probed };
    return { status, forMs: standsForMs, instance: settings.instance, quorum: settings.quorum, fleet };
  }

  /**
   * Asks the fleet for the place of a probe. Waits for as long as a call to the store may take; a store that fails in
   * that time leaves the decision to the own circuit.
   */
  async lease(admission: ProbeAdmission, context: Context): Promise<Admission> {
    const { probe } = admission;
    let lease = this.#takeFromHand();
    if (lease === undefined) {
      if (this.#now() < this.#askAgainAt) return this.#refused(probe);
      lease = await this.#askFor(this.#leaseMs, context.signal).catch(() => undefined);
    }
    const isAwaited = this.circuit.awaits(probe);
    if (lease !== undefined && isAwaited && !context.aborted) return this.#leased(admission, lease);
    if (lease !== undefined) this.#end(lease, "forgotten");
    if (context.aborted) this.circuit.probeForgotten(probe);
    context.throwIfAborted();
    if (!isAwaited) return this.#admittedAnew();
    return this.#fleetDecides ? this.#refused(probe) : admission;
  }

  /**
   * The same for those who cannot wait: takes the lease that is in hand. If there is none it is refused, and one is
   * asked for, to be in hand for the next call within the probe's deadline.
   */
  leaseInHand(admission: ProbeAdmission): Admission {
    const lease = this.#takeFromHand();
    if (lease !== undefined) return this.#leased(admission, lease);
    if (!this.#isAskingAhead && this.#now() >= this.#askAgainAt)
      this.membership.inBackground(this.#askAhead());
    return this.#refused(admission.probe);
  }

  probeEnded(probe: Probe, failed: boolean, now: number, error?: unknown): void {
    const lease = this.#leases.get(probe);
    // Of what has failed the own circuit is sure at once; the fleet hears of it by the transition.
    if (lease === undefined || failed || now >= probe.endsAt)
      this.circuit.probeEnded(probe, failed, now, error);
    else this.membership.inBackground(this.#succeeded(probe, lease));
  }

  probeForgotten(probe: Probe): void {
    const lease = this.#leases.get(probe);
    this.#leases.delete(probe);
    this.circuit.probeForgotten(probe);
    if (lease !== undefined) this.#end(lease, "forgotten");
  }

  /** The own circuit has changed. */
  transitioned({ to, reason, probe, askedMs }: Transition): void {
    if (reason === "open_time_over") return;
    const failed = probe === undefined ? undefined : this.#leases.get(probe);
    // With the fleet's generation its leases have ended.
    if (reason !== "shared") this.#giveBackBut(failed);
    this.#leases.clear();
    this.#inHand = undefined;
    if (reason === "shared") return;
    this.#askedMs = askedMs;
    if (failed !== undefined) {
      this.#end(failed, "failed");
      return;
    }
    this.#isHeld = false;
    this.#isUnsaid = to === "open" && reason !== "restored";
    if (this.#isUnsaid) this.#vote();
  }

  hear(circuit: FleetCircuit): void {
    if (circuit.generation < this.#fleet.generation) return;
    const isNews = circuit.generation > this.#fleet.generation;
    this.#fleet = circuit;
    // What was known before is never followed twice: the own circuit may know better by now.
    if (!isNews) return;
    this.#askAgainAt = -Infinity;
    const { state, openForMs, opens } = circuit;
    if (state === "open") {
      this.#isHeld = true;
      this.#isUnsaid = false;
      this.circuit.openFor(this.#now(), openForMs, opens, "shared");
    } else if (this.#isHeld) {
      this.#isHeld = false;
      this.circuit.closeFor("shared", this.#now());
    }
  }

  /** A trip that the fleet has not heard of is told now, if it still holds. */
  rejoined(): void {
    if (this.#isUnsaid && this.circuit.stateAt(this.#now()) !== "closed") this.#vote();
  }

  giveBack(): () => number {
    const returned = this.#giveBackBut(undefined);
    this.#leases.clear();
    this.#inHand = undefined;
    return returned;
  }

  get #fleetDecides(): boolean {
    return this.membership.status === "joined" && this.#fleet.state === "open";
  }

  /** The probe's deadline, and time to tell how it has ended. */
  get #leaseMs(): number {
    return this.settings.probeDeadlineMs + 2 * this.membership.settings.timeoutMs;
  }

  #now(): number {
    return this.membership.settings.clock.monotonic();
  }

  #leased(admission: ProbeAdmission, lease: Lease): Admission {
    this.#leases.set(admission.probe, lease);
    // Who probes for the fleet follows its word.
    this.#isHeld = true;
    return admission;
  }

  #refused(probe: Probe): Admission {
    this.circuit.probeForgotten(probe);
    const { timeoutMs } = this.membership.settings;
    const retryAfterMs = Math.max(this.#askAgainAt - this.#now(), Math.min(timeoutMs, ASK_AGAIN_MS));
    return { kind: "refused", state: "half-open", retryAfterMs };
  }

  /** While it was asked the circuit has changed; whoever waited is one more call to it. */
  #admittedAnew(): Admission {
    const admission = this.circuit.admit(this.#now());
    return admission.kind === "probe" ? this.#refused(admission.probe) : admission;
  }

  #takeFromHand(): Lease | undefined {
    const lease = this.#inHand;
    this.#inHand = undefined;
    const isGood = lease?.generation === this.#fleet.generation && this.#now() < lease.usableUntil;
    return isGood ? lease : undefined;
  }

  async #askAhead(): Promise<void> {
    this.#isAskingAhead = true;
    const { probeDeadlineMs } = this.settings;
    const usableUntil = this.#now() + probeDeadlineMs;
    try {
      const lease = await this.#askFor(this.#leaseMs + probeDeadlineMs);
      if (lease === undefined) return;
      if (this.circuit.stateAt(this.#now()) === "half-open") this.#inHand = { ...lease, usableUntil };
      else this.#end(lease, "forgotten");
    } finally {
      this.#isAskingAhead = false;
    }
  }

  /** A lease of the present generation, if the fleet has one to give. */
  async #askFor(leaseMs: number, caller?: AbortSignal): Promise<Lease | undefined> {
    const { key } = this;
    const { generation } = this.#fleet;
    const { probes } = this.settings;
    const lease = { token: crypto.randomUUID(), generation };
    try {
      const { granted, retryAfterMs, circuit } = await this.membership.ask(
        (store, signal) => store.leaseProbe({ key, ...lease, probes, leaseMs }, { signal }),
        caller,
      );
      this.#hearAnswer(circuit, generation);
      if (granted) return lease;
      const waitMs = circuit.openForMs > 0 ? circuit.openForMs : Math.min(retryAfterMs, ASK_AGAIN_MS);
      this.#askAgainAt = this.#now() + waitMs;
      return undefined;
    } catch (error) {
      // It may have been granted.
      this.#end(lease, "forgotten");
      throw error;
    }
  }

  async #succeeded(probe: Probe, lease: Lease): Promise<void> {
    try {
      const { circuit } = await this.#tellEnd(lease, "succeeded");
      this.#hearAnswer(circuit, lease.generation);
      // If it has not closed: more must succeed, or its word came too late.
      this.circuit.probeForgotten(probe);
    } catch {
      this.circuit.probeEnded(probe, false, this.#now());
    } finally {
      this.#leases.delete(probe);
    }
  }

  /** Ends a lease, with nobody waiting. */
  #end(lease: Lease, verdict: ProbeEnd["verdict"], onAccepted?: () => void): void {
    const told = this.#tellEnd(lease, verdict).then(({ accepted, circuit }) => {
      this.#hearAnswer(circuit, lease.generation);
      if (accepted) onAccepted?.();
    });
    this.membership.inBackground(told);
  }

  #tellEnd(lease: Lease, verdict: ProbeEnd["verdict"]): Promise<ProbeEndAnswer> {
    const { key } = this;
    const { probes } = this.settings;
    const end = { key, ...lease, verdict, probes, openTime: this.#openTime() };
    return this.membership.ask((store, signal) => store.probeEnded(end, { signal }));
  }

  /** Answers later how many were taken back. */
  #giveBackBut(kept: Lease | undefined): () => number {
    let returned = 0;
    const held = [...this.#leases.values(), ...(this.#inHand === undefined ? [] : [this.#inHand])];
    for (const lease of held) if (lease !== kept) this.#end(lease, "forgotten", () => (returned += 1));
    return () => returned;
  }

  #vote(): void {
    if (this.#isVoting || this.membership.status === "left") return;
    this.#isVoting = true;
    // It may have been forgotten by whoever keeps breakers by key.
    this.membership.join(this);
    const said = this.#say().finally(() => (this.#isVoting = false));
    this.membership.inBackground(said);
  }

  /** Twice at most: a vote of an older generation does not count, and it is heard then which is the present one. */
  async #say(): Promise<void> {
    const { key } = this;
    const { instance, quorum, voteWindowMs } = this.membership.settings;
    for (let attempt = 1; attempt <= 2 && this.#isUnsaid; attempt += 1) {
      const { generation } = this.#fleet;
      const vote = { key, voter: instance, generation, quorum, windowMs: voteWindowMs };
      const circuit = await this.membership.ask((store, signal) =>
        store.vote({ ...vote, openTime: this.#openTime() }, { signal }),
      );
      this.#hearAnswer(circuit, generation);
      if (circuit.state === "open") this.#isHeld = true;
      if (circuit.state === "open" || circuit.generation <= generation) this.#isUnsaid = false;
    }
  }

  #lookForFleet(): void {
    if (this.#now() < this.#lookAgainAt) return;
    this.#lookAgainAt = this.#now() + LOOK_AGAIN_MS;
    const { generation } = this.#fleet;
    const looked = this.membership
      .ask((store, signal) => store.read(this.key, { signal }))
      .then((circuit) => this.#hearAnswer(circuit, generation));
    this.membership.inBackground(looked);
  }

  /** As {@link hear}; besides, an answer to a question can say that the store has forgotten what we know. */
  #hearAnswer(circuit: FleetCircuit, askedIn: number): void {
    this.hear(circuit);
    const isForgotten = circuit.generation < askedIn && askedIn === this.#fleet.generation;
    if (!isForgotten) return;
    this.#fleet = { ...circuit, generation: askedIn };
    this.#isHeld = false;
  }

  #openTime(): FleetOpenTime {
    const { openTime, random } = this.settings;
    const { initialMs, maxMs, factor, jitter } = openTime;
    return { initialMs, maxMs, factor, stretch: 1 + jitter * random(), atLeastMs: this.#askedMs };
  }
}
