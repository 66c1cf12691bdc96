// Ties a breaker's own circuit to the fleet's: votes when it trips, follows what the fleet decides, probes by lease.
import type { Context } from "@holdfast/core";
import type { Admission, Circuit, Probe, ProbeJudge, Transition } from "../circuit/circuit.ts";
import type { LinkSettings } from "./link-settings.ts";
import { fleetOpenTime } from "./link-settings.ts";
import type { Member, Membership } from "./membership.ts";
import type { FleetEar, Lease } from "./probe-leases.ts";
import { ProbeLeases } from "./probe-leases.ts";
import type { ShareSnapshot } from "./share.ts";
import type { FleetCircuit } from "./store.ts";

/** All that is done to the breaker's own circuit. */
export type OwnCircuit = Pick<
  Circuit,
  "admit" | "closeFor" | "openFor" | "probeEnded" | "probeForgotten" | "stateAt"
>;

/** A probe that may go. */
export type ProbeAdmission = Admission & { readonly kind: "probe" };

/** While alone, a call that would probe looks for the fleet so often at most, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;

export class FleetLink implements FleetEar, Member, ProbeJudge {
  #fleet: FleetCircuit;
  readonly #leases: ProbeLeases;
  /** Whether what holds the own circuit open is the fleet's word, so that it also closes by it. */
  #isHeld = false;
  /** Whether the own circuit has tripped and the fleet does not know it yet. */
  #isUnsaid = false;
  #isVoting = false;
  /** Until when the callee has asked to be left alone. */
  #askedUntil = -Infinity;
  #lookAgainAt = -Infinity;

  constructor(
    readonly key: string,
    private readonly circuit: OwnCircuit,
    private readonly membership: Membership,
    private readonly settings: LinkSettings,
  ) {
    const none = { openForMs: 0, opens: 0, votes: 0, probing: 0, probed: 0 };
    this.#fleet = { key, generation: 0, state: "closed", ...none };
    this.#leases = new ProbeLeases(key, membership, settings, this);
    membership.join(this);
  }

  /** Of the fleet's circuit, as far as is known. */
  get generation(): number {
    return this.#fleet.generation;
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
  async lease({ probe }: ProbeAdmission, context: Context): Promise<Admission> {
    // Its time begins when it goes, not while it waits.
    this.circuit.probeForgotten(probe);
    const lease = this.#leases.take() ?? (await this.#leases.ask(context.signal).catch(() => undefined));
    const mayGo = !context.aborted && (lease !== undefined || !this.#fleetDecides);
    // By now it may be closed, or open again.
    const admission = mayGo ? this.circuit.admit(this.#now()) : this.#refused();
    if (lease !== undefined && admission.kind === "probe") return this.#leased(admission, lease);
    if (lease !== undefined) this.#leases.end(lease, "forgotten");
    context.throwIfAborted();
    return admission;
  }

  /**
   * The same for those who cannot wait: takes the lease that is in hand. If there is none it is refused, and one is
   * asked for, to be in hand for the next call within the probe's deadline.
   */
  leaseInHand(admission: ProbeAdmission): Admission {
    const lease = this.#leases.take();
    if (lease !== undefined) return this.#leased(admission, lease);
    this.circuit.probeForgotten(admission.probe);
    this.#leases.askAhead(() => this.circuit.stateAt(this.#now()) === "half-open");
    return this.#refused();
  }

  probeEnded(probe: Probe, failed: boolean, now: number, error?: unknown): void {
    const lease = this.#leases.of(probe);
    // Of what has failed the own circuit is sure at once; the fleet hears of it by the transition.
    if (lease === undefined || failed || now >= probe.endsAt)
      this.circuit.probeEnded(probe, failed, now, error);
    else this.membership.inBackground(this.#succeeded(probe, lease));
  }

  probeForgotten(probe: Probe): void {
    const lease = this.#leases.of(probe);
    this.#leases.drop(probe);
    this.circuit.probeForgotten(probe);
    if (lease !== undefined) this.#leases.end(lease, "forgotten");
  }

  /** The own circuit has changed. */
  transitioned({ to, reason, probe, askedMs }: Transition): void {
    // Of what the fleet has decided it need not be told.
    if (reason === "open_time_over" || reason === "shared") return;
    const failed = this.#leases.of(probe);
    this.#leases.giveBackAllBut(failed);
    if (failed !== undefined) {
      this.#leases.end(failed, "failed", askedMs);
      return;
    }
    this.#isHeld = false;
    this.#askedUntil = this.#now() + askedMs;
    this.#isUnsaid = to === "open" && reason !== "restored";
    if (this.#isUnsaid) this.#vote();
  }

  hear(circuit: FleetCircuit): void {
    if (circuit.generation < this.#fleet.generation) return;
    const isNews = circuit.generation > this.#fleet.generation;
    this.#fleet = circuit;
    // What was known before is never followed twice: the own circuit may know better by now.
    if (!isNews) return;
    this.#leases.clear();
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

  /** As {@link hear}; besides, an answer to a question can say that the store has forgotten what we know. */
  hearAnswer(circuit: FleetCircuit, askedIn: number): void {
    this.hear(circuit);
    const isForgotten = circuit.generation < askedIn && askedIn === this.#fleet.generation;
    if (!isForgotten) return;
    this.#fleet = { ...circuit, generation: askedIn };
    this.#isHeld = false;
  }

  /** A trip that the fleet has not heard of is told now, if it still holds. */
  rejoined(): void {
    if (this.#isUnsaid && this.circuit.stateAt(this.#now()) !== "closed") this.#vote();
  }

  giveBack(): () => number {
    return this.#leases.giveBackAllBut(undefined);
  }

  get #fleetDecides(): boolean {
    return this.membership.status === "joined" && this.#fleet.state === "open";
  }

  #now(): number {
    return this.membership.settings.clock.monotonic();
  }

  #leased(admission: ProbeAdmission, lease: Lease): Admission {
    this.#leases.hold(admission.probe, lease);
    // Who probes for the fleet follows its word.
    this.#isHeld = true;
    return admission;
  }

  #refused(): Admission {
    return { kind: "refused", state: "half-open", retryAfterMs: this.#leases.retryAfterMs };
  }

  async #succeeded(probe: Probe, lease: Lease): Promise<void> {
    try {
      await this.#leases.tellEnd(lease, "succeeded");
      // If it has not closed: more must succeed, or its word came too late.
      this.circuit.probeForgotten(probe);
    } catch {
      this.circuit.probeEnded(probe, false, this.#now());
    } finally {
      this.#leases.drop(probe);
    }
  }

  #vote(): void {
    if (this.#isVoting || this.membership.status === "left") return;
    this.#isVoting = true;
    this.membership.keepPlace(this);
    const said = this.#say().finally(() => (this.#isVoting = false));
    this.membership.inBackground(said);
  }

  /** Twice at most: a vote of an older generation does not count, and it is heard then which is the present one. */
  async #say(): Promise<void> {
    const { key } = this;
    const { instance, quorum, voteWindowMs } = this.membership.settings;
    for (let attempt = 1; attempt <= 2 && this.#isUnsaid; attempt += 1) {
      const { generation } = this;
      const openTime = fleetOpenTime(this.settings, Math.max(0, this.#askedUntil - this.#now()));
      const vote = { key, voter: instance, generation, quorum, windowMs: voteWindowMs, openTime };
      const circuit = await this.membership.ask((store, signal) => store.vote(vote, { signal }));
      this.hearAnswer(circuit, generation);
      if (circuit.state === "open") this.#isHeld = true;
      if (circuit.state === "open" || circuit.generation <= generation) this.#isUnsaid = false;
    }
  }

  #lookForFleet(): void {
    if (this.#now() < this.#lookAgainAt) return;
    this.#lookAgainAt = this.#now() + LOOK_AGAIN_MS;
    const { generation } = this;
    const looked = this.membership
      .ask((store, signal) => store.read(this.key, { signal }))
      .then((circuit) => this.hearAnswer(circuit, generation));
    this.membership.inBackground(looked);
  }
}
