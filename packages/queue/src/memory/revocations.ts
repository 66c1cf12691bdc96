// Leases that cancels have taken away, until their workers have heard of it.
import type { RevokedLease } from "../store/store.ts";

/** Workers remembered, and leases for each; a worker that is forgotten learns it when it renews. */
const MAX_WORKERS = 1_000;
const MAX_LEASES = 1_000;

export class Revocations {
  readonly #byWorker = new Map<string, RevokedLease[]>();

  add(worker: string, lease: RevokedLease): void {
    const leases = this.#byWorker.get(worker) ?? [];
    if (leases.length === 0) this.#byWorker.set(worker, leases);
    leases.push(lease);
    if (leases.length > MAX_LEASES) leases.shift();
    if (this.#byWorker.size > MAX_WORKERS) this.#byWorker.delete(this.#byWorker.keys().next().value!);
  }

  take(worker: string): readonly RevokedLease[] {
    const leases = this.#byWorker.get(worker) ?? [];
    this.#byWorker.delete(worker);
    return leases;
  }
}
