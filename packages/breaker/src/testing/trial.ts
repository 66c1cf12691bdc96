// One clause on trial: a circuit that nobody knows, and short words for what is asked of its store.
import { ensure, same } from "@holdfast/core/testing";
import type {
  CircuitStore,
  CircuitVote,
  FleetCircuit,
  FleetOpenTime,
  ProbeAnswer,
  ProbeEndAnswer,
} from "../shared/store.ts";

/** What the suite is run on. */
export interface CircuitStoreSubject {
  /** A store for each test; circuits of other tests may be in it. The suite closes it. */
  readonly make: () => CircuitStore | Promise<CircuitStore>;
  /** Lets this many milliseconds pass on the store's clock; never less. */
  readonly advance: (ms: number) => Promise<void>;
  /** How long the store remembers, in milliseconds: it is to be made with this `keep`. */
  readonly keepMs: number;
  /**
   * How long open times, leases and vote windows are in the suite, in milliseconds. With a server's clock: long enough for
   * a few calls. @defaultValue 1_000
   */
  readonly spanMs?: number;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
  /** Needs a clock that stands still between calls. */
  readonly exact?: boolean;
}

export type VoteWishes = Partial<Omit<CircuitVote, "openTime">>;

/** Who has a lease, and of which circuit. */
export interface Held {
  readonly generation: number;
  readonly token: string;
}

export class Trial {
  readonly key: string = `circuit-${crypto.randomUUID()}`;
  readonly spanMs: number;

  constructor(
    readonly store: CircuitStore,
    readonly subject: CircuitStoreSubject,
  ) {
    this.spanMs = subject.spanMs ?? 1_000;
  }

  /** Open for a span at first, then for two, then four. */
  openTime(wishes: Partial<FleetOpenTime> = {}): FleetOpenTime {
    const { spanMs } = this;
    return { initialMs: spanMs, maxMs: 4 * spanMs, factor: 2, stretch: 1, atLeastMs: 0, ...wishes };
  }

  vote(voter: string, wishes: VoteWishes = {}, open: Partial<FleetOpenTime> = {}): Promise<FleetCircuit> {
    const openTime = this.openTime(open);
    const usual = { key: this.key, voter, generation: 0, quorum: 2, windowMs: this.spanMs };
    return this.store.vote({ ...usual, ...wishes, openTime });
  }

  /** Opens the circuit, by a quorum of one. */
  async open(key: string = this.key, open: Partial<FleetOpenTime> = {}): Promise<FleetCircuit> {
    const { generation } = await this.store.read(key);
    const circuit = await this.vote("opener", { key, generation, quorum: 1 }, open);
    same(circuit.state, "open", "state after a vote with a quorum of one");
    return circuit;
  }

  /** Opens it, and lets its open time pass. */
  async openToProbes(): Promise<FleetCircuit> {
    await this.open();
    await this.advance(this.spanMs);
    return this.store.read(this.key);
  }

  async ask(
    token: string,
    { generation }: FleetCircuit,
    probes: number = 1,
    spans: number = 1,
  ): Promise<ProbeAnswer> {
    return this.store.leaseProbe({ key: this.key, generation, token, probes, leaseMs: spans * this.spanMs });
  }

  /** A lease that is to be given. */
  async lease(token: string, circuit: FleetCircuit, probes: number = 1, spans: number = 1): Promise<Held> {
    const answer = await this.ask(token, circuit, probes, spans);
    same(answer.granted, true, `the lease of ${token}`);
    return { generation: answer.circuit.generation, token };
  }

  end(
    held: Held,
    verdict: "succeeded" | "failed" | "forgotten",
    probes: number = 1,
  ): Promise<ProbeEndAnswer> {
    return this.store.probeEnded({ key: this.key, ...held, verdict, probes, openTime: this.openTime() });
  }

  /** An end that is to be heard. */
  async heard(
    held: Held,
    verdict: "succeeded" | "failed" | "forgotten",
    probes: number = 1,
  ): Promise<FleetCircuit> {
    const { accepted, circuit } = await this.end(held, verdict, probes);
    same(accepted, true, `whether it was heard that ${held.token} has ${verdict}`);
    return circuit;
  }

  /** An end that is not to be heard, and that changes nothing. */
  async unheard(held: Held, why: string): Promise<void> {
    const before = await this.store.read(this.key);
    for (const verdict of ["failed", "succeeded", "forgotten"] as const) {
      const { accepted, circuit } = await this.end(held, verdict);
      same(accepted, false, `whether it was heard that a probe has ${verdict} ${why}`);
      same(circuit.generation, before.generation, `the generation after a probe has ${verdict} ${why}`);
      same(circuit.state, before.state, `the state after a probe has ${verdict} ${why}`);
    }
  }

  advance(ms: number): Promise<void> {
    return this.subject.advance(ms);
  }

  /** Waits until it holds, for as long as news may reasonably take. */
  async until(holds: () => boolean, what: string): Promise<void> {
    for (let turn = 0; turn < 400 && !holds(); turn += 1) await this.advance(25);
    ensure(holds(), what);
  }
}
