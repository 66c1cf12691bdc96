// The line between one member of a fleet and its store: calls and news get through it, or do not.
import type { CircuitStore, CircuitStoreTraits, CircuitWatcher, FleetCircuit } from "@holdfast/breaker";
import type { Fault, ManualClock } from "@holdfast/core/testing";
import { faulty } from "@holdfast/core/testing";

export class Line {
  /** What the member talks to. */
  readonly store: CircuitStore;
  #fault: Fault | undefined;
  #news = new Map<string, FleetCircuit>();
  #watcher: CircuitWatcher | undefined;

  constructor(store: CircuitStore, clock: ManualClock) {
    const methods = ["read", "vote", "leaseProbe", "probeEnded"];
    const calls = faulty(store, { plan: () => this.#fault, methods, clock });
    this.store = {
      traits: { ...store.traits } satisfies CircuitStoreTraits,
      read: calls.read.bind(calls),
      vote: calls.vote.bind(calls),
      leaseProbe: calls.leaseProbe.bind(calls),
      probeEnded: calls.probeEnded.bind(calls),
      watch: (watcher) => {
        this.#watcher = watcher;
        return store.watch({ changed: (circuits) => this.#pass(circuits), lost: () => {} });
      },
      close: () => store.close(),
    };
  }

  get isCut(): boolean {
    return this.#fault !== undefined && this.#fault.kind !== "latency";
  }

  /** From now on calls go wrong so; no news gets through unless they are only late. */
  cut(fault: Fault): void {
    this.#fault = fault;
    if (this.isCut) this.#watcher?.lost(new Error(`the line is cut: ${fault.kind}`));
  }

  /** All is well again, and what was missed is told: of each circuit how it is now. */
  heal(): void {
    this.#fault = undefined;
    const missed = [...this.#news.values()];
    this.#news.clear();
    this.#watcher?.changed(missed);
  }

  #pass(circuits: readonly FleetCircuit[]): void {
    if (this.isCut) for (const circuit of circuits) this.#news.set(circuit.key, circuit);
    else this.#watcher?.changed(circuits);
  }
}
