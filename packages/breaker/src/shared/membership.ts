// One member of a fleet: watches the store for all its circuits, calls it in time, and knows whether it is there.
import type { Duration, Policy } from "@holdfast/core";
import { asError, channel, optionsOf, timeout } from "@holdfast/core";
import type { CircuitShareEvent, ShareCloseReport, ShareSettings, ShareStatus } from "./share.ts";
import type { CircuitStore, FleetCircuit } from "./store.ts";

/** What a membership tells of, for one circuit. */
export interface Member {
  /** The store's key of its circuit. */
  readonly key: string;
  /** What the fleet's circuit is now, or was a while ago. */
  hear(circuit: FleetCircuit): void;
  /** The fleet is there again. */
  rejoined(): void;
  /** Gives all leases back. Answers later how many were. */
  giveBack(): () => number;
}

const standingChanged = /* @__PURE__ */ channel<CircuitShareEvent>("breaker", "share");

/** Open circuits that are known though no breaker of ours has asked for them yet, at most. */
const MAX_KNOWN = 10_000;

export class Membership {
  readonly #limit: Policy;
  readonly #members = new Map<string, Member>();
  /** Circuits of the fleet that are open, and when we were told so. */
  readonly #open = new Map<string, { readonly circuit: FleetCircuit; readonly toldAt: number }>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #stopWatching: () => void;
  #status: ShareStatus = "alone";
  #since: number;

  /** @throws ClosedError when the store is closed. */
  constructor(readonly settings: ShareSettings) {
    const { store, timeoutMs, clock } = settings;
    this.#limit = timeout(timeoutMs, { name: "circuit store", clock });
    this.#since = clock.monotonic();
    this.#stopWatching = store.watch({
      changed: (circuits) => this.#told(circuits),
      lost: (error) => this.#stand("alone", error),
    });
  }

  get status(): ShareStatus {
    return this.#status;
  }

  get standsForMs(): number {
    return this.settings.clock.monotonic() - this.#since;
  }

  /** From now on the member hears of its circuit; at once, if it is open. */
  join(member: Member): void {
    this.#members.set(member.key, member);
    const known = this.#open.get(member.key);
    if (known === undefined) return;
    const { circuit, toldAt } = known;
    const openForMs = Math.max(0, circuit.openForMs - (this.settings.clock.monotonic() - toldAt));
    member.hear({ ...circuit, openForMs });
  }

  /** For one that may have been forgotten: it hears again, unless another has taken its place. */
  keepPlace(member: Member): void {
    if (!this.#members.has(member.key)) this.join(member);
  }

  leave(key: string): void {
    this.#members.delete(key);
  }

  /** Calls the store, in time. Rejects with the signal's reason if that aborts, which says nothing about the store. */
  async ask<T>(
    call: (store: CircuitStore, signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    try {
      const answer = await this.#limit.run((context) => call(this.settings.store, context.signal), {
        signal,
      });
      this.#stand("joined");
      return answer;
    } catch (error) {
      if (signal?.aborted !== true) this.#stand("alone", asError(error));
      throw error;
    }
  }

  /** Work that nobody waits for but {@link close}. What goes wrong with it is known already: we are alone. */
  inBackground(work: Promise<unknown>): void {
    const silent = work.catch(() => {}).finally(() => this.#underWay.delete(silent));
    this.#underWay.add(silent);
  }

  /** Gives all leases back, within so much time, and hears nothing any more. @throws InvalidOptionError */
  async close(within: Duration | undefined): Promise<ShareCloseReport> {
    const { clock, timeoutMs } = this.settings;
    const withinMs = optionsOf("close").duration("within", within, {}, timeoutMs);
    if (this.#status === "left") return { leasesReturned: 0 };
    const returned = [...this.#members.values()].map((member) => member.giveBack());
    this.#stand("left");
    this.#stopWatching();
    this.#members.clear();
    this.#open.clear();
    const limit = new AbortController();
    const isOver = clock.sleep(withinMs, limit.signal).catch(() => {});
    await Promise.race([Promise.all(this.#underWay), isOver]);
    limit.abort();
    return { leasesReturned: returned.reduce((sum, count) => sum + count(), 0) };
  }

  #told(circuits: readonly FleetCircuit[]): void {
    const toldAt = this.settings.clock.monotonic();
    for (const circuit of circuits) {
      this.#open.delete(circuit.key);
      if (circuit.state === "open") this.#open.set(circuit.key, { circuit, toldAt });
      this.#members.get(circuit.key)?.hear(circuit);
    }
    for (const [key] of this.#open) {
      if (this.#open.size <= MAX_KNOWN) break;
      this.#open.delete(key);
    }
    this.#stand("joined");
  }

  #stand(status: ShareStatus, error?: Error): void {
    if (status === this.#status || this.#status === "left") return;
    this.#status = status;
    this.#since = this.settings.clock.monotonic();
    if (standingChanged.hasSubscribers)
      standingChanged.publish({
        breaker: this.settings.name,
        status,
        ...(error === undefined ? {} : { error }),
      });
    if (status === "joined") for (const member of this.#members.values()) member.rejoined();
  }
}
