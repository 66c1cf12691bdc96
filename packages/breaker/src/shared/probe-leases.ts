// The leases on probes of one circuit: asked for, held while the probe is out, and ended.
import type { Probe } from "../circuit/circuit.ts";
import type { LinkSettings } from "./link-settings.ts";
import { fleetOpenTime } from "./link-settings.ts";
import type { Membership } from "./membership.ts";
import type { FleetCircuit, ProbeEnd, ProbeEndAnswer } from "./store.ts";

/** The right to one probe, until the store's clock has passed its end. */
export interface Lease {
  readonly token: string;
  readonly generation: number;
}

/** What is known of the fleet's circuit, and who is told more. */
export interface FleetEar {
  readonly generation: number;
  /** The store has answered so; it was asked when that was the present generation. */
  hearAnswer(circuit: FleetCircuit, askedIn: number): void;
}

/** Once the fleet has no place it is not asked again for so long, in milliseconds, whatever the traffic. */
const ASK_AGAIN_MS = 250;

export class ProbeLeases {
  readonly #held = new Map<Probe, Lease>();
  /** For the next call of those that cannot wait for one. */
  #inHand: (Lease & { readonly usableUntil: number }) | undefined;
  /** Requests that are under way. */
  #asking = 0;
  #askAgainAt = -Infinity;

  constructor(
    private readonly key: string,
    private readonly membership: Membership,
    private readonly settings: LinkSettings,
    private readonly ear: FleetEar,
  ) {}

  /** When it is worth coming back, in milliseconds. */
  get retryAfterMs(): number {
    return Math.max(
      this.#askAgainAt - this.#now(),
      Math.min(this.membership.settings.timeoutMs, ASK_AGAIN_MS),
    );
  }

  hold(probe: Probe, lease: Lease): void {
    this.#held.set(probe, lease);
  }

  of(probe: Probe | undefined): Lease | undefined {
    return probe === undefined ? undefined : this.#held.get(probe);
  }

  drop(probe: Probe): void {
    this.#held.delete(probe);
  }

  /** The lease in hand, if it is still good. */
  take(): Lease | undefined {
    const lease = this.#inHand;
    this.#inHand = undefined;
    const isGood = lease?.generation === this.ear.generation && this.#now() < lease.usableUntil;
    return isGood ? lease : undefined;
  }

  /** A lease for a probe that goes at once. None if the fleet has no place, or there is no need to ask for one more. */
  async ask(caller: AbortSignal): Promise<Lease | undefined> {
    return this.#mayAsk ? this.#ask(0, caller) : undefined;
  }

  /** Asks for a lease to have in hand for as long as a probe may take, if it is still wanted when it comes. */
  askAhead(isWanted: () => boolean): void {
    if (this.#asking === 0 && this.#mayAsk) this.membership.inBackground(this.#askAhead(isWanted));
  }

  /** Ends a lease, with nobody waiting. */
  end(lease: Lease, verdict: ProbeEnd["verdict"], atLeastMs: number = 0, onAccepted?: () => void): void {
    const told = this.tellEnd(lease, verdict, atLeastMs).then(({ accepted }) => {
      if (accepted) onAccepted?.();
    });
    this.membership.inBackground(told);
  }

  async tellEnd(lease: Lease, verdict: ProbeEnd["verdict"], atLeastMs: number = 0): Promise<ProbeEndAnswer> {
    const { key } = this;
    const { probes } = this.settings;
    const end = { key, ...lease, verdict, probes, openTime: fleetOpenTime(this.settings, atLeastMs) };
    const answer = await this.membership.ask((store, signal) => store.probeEnded(end, { signal }));
    this.ear.hearAnswer(answer.circuit, lease.generation);
    return answer;
  }

  /** Gives back all but one. Answers later how many were taken back. */
  giveBackAllBut(kept: Lease | undefined): () => number {
    let returned = 0;
    const all = [...this.#held.values(), ...(this.#inHand === undefined ? [] : [this.#inHand])];
    for (const lease of all) if (lease !== kept) this.end(lease, "forgotten", 0, () => (returned += 1));
    this.clear();
    return () => returned;
  }

  /** They have ended with their generation: there may be a place in the next. */
  clear(): void {
    this.#held.clear();
    this.#inHand = undefined;
    this.#askAgainAt = -Infinity;
  }

  get #mayAsk(): boolean {
    return this.#asking < this.settings.probes && this.#now() >= this.#askAgainAt;
  }

  async #askAhead(isWanted: () => boolean): Promise<void> {
    const { probeDeadlineMs } = this.settings;
    const usableUntil = this.#now() + probeDeadlineMs;
    const lease = await this.#ask(probeDeadlineMs);
    if (lease === undefined) return;
    if (isWanted()) this.#inHand = { ...lease, usableUntil };
    else this.end(lease, "forgotten");
  }

  /** A lease of the present generation, if the fleet has one to give. */
  async #ask(inHandMs: number, caller?: AbortSignal): Promise<Lease | undefined> {
    const { probes, probeDeadlineMs } = this.settings;
    const lease = { token: crypto.randomUUID(), generation: this.ear.generation };
    // So long, and then there is still time to tell how it has ended.
    const leaseMs = inHandMs + probeDeadlineMs + 2 * this.membership.settings.timeoutMs;
    const request = { key: this.key, ...lease, probes, leaseMs };
    this.#asking += 1;
    try {
      const answer = await this.membership.ask(
        (store, signal) => store.leaseProbe(request, { signal }),
        caller,
      );
      const { granted, retryAfterMs, circuit } = answer;
      this.ear.hearAnswer(circuit, lease.generation);
      if (granted) return lease;
      const waitMs = circuit.openForMs > 0 ? circuit.openForMs : Math.min(retryAfterMs, ASK_AGAIN_MS);
      this.#askAgainAt = this.#now() + waitMs;
      return undefined;
    } catch (error) {
      // It may have been granted.
      this.end(lease, "forgotten");
      throw error;
    } finally {
      this.#asking -= 1;
    }
  }

  #now(): number {
    return this.membership.settings.clock.monotonic();
  }
}
