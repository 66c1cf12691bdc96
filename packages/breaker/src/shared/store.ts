// What a store of shared circuits must do: one atomic verb for each thing that can happen to a circuit.

/** What a store can do, so that callers need not find out. */
export interface CircuitStoreTraits {
  /** Whether other processes see the same circuits. */
  readonly shared: boolean;
  /** Whose time decides. A shared store never believes a client's clock: it is told durations only. */
  readonly clock: "caller" | "server";
}

/** One circuit, as all who share it see it. */
export interface FleetCircuit {
  /** 1 to 1,000 characters. */
  readonly key: string;
  /**
   * Grows with every change of `state` and every new open time, also after the circuit was forgotten. A safe integer;
   * 0 for a circuit that the store does not know.
   */
  readonly generation: number;
  readonly state: "closed" | "open";
  /** How long it stays open from now, in milliseconds. 0: closed, or open and waiting for probes. */
  readonly openForMs: number;
  /** How often in a row it has opened without a rest of its last open time. */
  readonly opens: number;
  /** Distinct voters whose votes count now; 0 unless closed. */
  readonly votes: number;
  /** Probes that are leased, and that have succeeded since it opened. */
  readonly probing: number;
  readonly probed: number;
}

/** How long a circuit stays open: `initialMs · factor^(opens − 1)`, at most `maxMs`, then times `stretch`. */
export interface FleetOpenTime {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** The caller's draw, from 1. */
  readonly stretch: number;
  /** What the callee has asked for, as `Retry-After`; it stays open for at least so long. 0 if it has not. */
  readonly atLeastMs: number;
}

/** "It has just tripped here." */
export interface CircuitVote {
  readonly key: string;
  /** Unique to the instance: who votes again renews a vote. 1 to 255 characters. */
  readonly voter: string;
  /** Which the voter knew. A vote of an older one does not count: it is about what the fleet has judged already. */
  readonly generation: number;
  /** Distinct voters that open it. From 1. */
  readonly quorum: number;
  /** How long the vote counts. From 1 ms. */
  readonly windowMs: number;
  readonly openTime: FleetOpenTime;
}

/** Asks to be the one who probes. */
export interface ProbeRequest {
  readonly key: string;
  /** Only the present one is given probes. */
  readonly generation: number;
  /**
   * Names this one request and the lease that it is given. Together with the generation, which grows, it is the fence:
   * nobody else's word is taken for this holder's. Who asks again with it, since the answer was lost, is given the same
   * lease. 1 to 255 characters.
   */
  readonly token: string;
  /** Probes that must succeed before it closes, and that may be out at a time. From 1. */
  readonly probes: number;
  /** How long the lease lasts. It cannot be renewed. From 1 ms. */
  readonly leaseMs: number;
}

export interface ProbeAnswer {
  readonly granted: boolean;
  /** When to ask again at the latest, in milliseconds; 0 if granted or closed. */
  readonly retryAfterMs: number;
  readonly circuit: FleetCircuit;
}

/** How a leased probe has ended. */
export interface ProbeEnd {
  readonly key: string;
  readonly generation: number;
  readonly token: string;
  /** `forgotten`: it says nothing, and another may go in its place. */
  readonly verdict: "succeeded" | "failed" | "forgotten";
  readonly probes: number;
  readonly openTime: FleetOpenTime;
}

export interface ProbeEndAnswer {
  /** `false`: the lease is over, or was of another generation. Nothing has changed. */
  readonly accepted: boolean;
  readonly circuit: FleetCircuit;
}

/** Who wants to be told. Neither method throws. */
export interface CircuitWatcher {
  /**
   * Circuits that have changed, each as it is now; the first call tells all that are open. Called with an empty list too,
   * to say that the feed is there.
   */
  changed(circuits: readonly FleetCircuit[]): void;
  /** The feed is not there at the moment. `changed` is called again once it is. */
  lost(error: Error): void;
}

export interface CircuitStoreCallOptions {
  /** Gives the call up. What it has sent may still take effect. */
  readonly signal?: AbortSignal;
}

/**
 * Where circuits are shared. Each verb is atomic and decides in the store, by the store's clock, over durations that it
 * is told. `circuitStoreConformance` of `@holdfast/breaker/testing` holds an implementation against this contract.
 *
 * - A closed circuit opens with the vote of its `quorum`th distinct voter. Votes end with their window, and when it
 *   opens.
 * - An open circuit whose time is over is probed: `probes` less those that have succeeded may be leased at a time. A
 *   lease that has run out frees its place, and its holder is no longer heard.
 * - A probe that has failed opens it anew, for longer; the last of `probes` that succeed closes it. Either ends all
 *   leases.
 * - A circuit is remembered for a while beyond its open time and its last lease, so that nothing ends under a probe that
 *   runs. What a store keeps is bounded; a circuit that it has forgotten is closed, of generation 0.
 */
export interface CircuitStore {
  readonly traits: CircuitStoreTraits;
  read(key: string, options?: CircuitStoreCallOptions): Promise<FleetCircuit>;
  vote(vote: CircuitVote, options?: CircuitStoreCallOptions): Promise<FleetCircuit>;
  leaseProbe(request: ProbeRequest, options?: CircuitStoreCallOptions): Promise<ProbeAnswer>;
  probeEnded(end: ProbeEnd, options?: CircuitStoreCallOptions): Promise<ProbeEndAnswer>;
  /** Tells of changes until the returned function is called. News may come late, and of several changes only the last. */
  watch(watcher: CircuitWatcher): () => void;
  /** Ends all watches; later calls reject with a `ClosedError`. A client that was handed in stays open. */
  close(): Promise<void>;
}
