// Who has used how much device time: start-time fair queueing over predicted batch times.
import { optionsOf } from "@holdfast/core";
import type { Place } from "@holdfast/core/collections";
import { IndexedHeap } from "@holdfast/core/collections";

/** Whose device time is counted. */
export interface Tenant {
  readonly name: string;
  /** The share that it is due, relative to others. */
  readonly weight: number;
  waiting: number;
  /** Device milliseconds used, by the measure of its share; never behind the ledger's own time while it waits. */
  spentMs: number;
  /** In the heaps of those that have something waiting, and of those that have not. */
  waitPlace: number;
  idlePlace: number;
}

const WAITING: Place<Tenant> = {
  of: ({ waitPlace }) => waitPlace,
  set: (tenant, at) => void (tenant.waitPlace = at),
};

const IDLE: Place<Tenant> = {
  of: ({ idlePlace }) => idlePlace,
  set: (tenant, at) => void (tenant.idlePlace = at),
};

/** How far a tenant may be ahead of the one that is furthest behind before it yields, in device milliseconds. */
export const FAIRNESS_QUANTUM_MS = 100;

/** Weights beyond these are a mistake, and sums of times by them would not be exact. */
const LEAST_WEIGHT = 1e-6;
const MOST_WEIGHT = 1e6;

/** Most tenants remembered that have nothing waiting. */
const MAX_IDLE = 10_000;

/**
 * Tenants with waiting requests take turns by device time used. One that comes back is put level with the others: time
 * that was not used cannot be saved up; debts are kept (Goyal, Vin & Cheng, SIGCOMM 1996).
 */
export class TenantLedger {
  readonly #tenants = new Map<string, Tenant>();
  readonly #waiting = new IndexedHeap<Tenant>(spentLess, WAITING);
  /** Ahead of the others and not waiting: they are remembered until the others have caught up. */
  readonly #idle = new IndexedHeap<Tenant>(spentLess, IDLE);
  #nowMs = 0;

  constructor(private readonly weightOf: (tenant: string) => number) {}

  /** Tenants that have requests waiting. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Requests of a tenant that wait. */
  waitingOf(name: string): number {
    return this.#tenants.get(name)?.waiting ?? 0;
  }

  /**
   * Whoever is not known is asked for its weight, and is known from here on: only for a request that is let in.
   *
   * @throws InvalidOptionError when that cannot be had, or is out of range.
   */
  tenant(name: string): Tenant {
    const known = this.#tenants.get(name);
    if (known !== undefined) return known;
    const weight = this.#weigh(name);
    const tenant: Tenant = { name, weight, waiting: 0, spentMs: this.#nowMs, waitPlace: -1, idlePlace: -1 };
    this.#tenants.set(name, tenant);
    return tenant;
  }

  /** One of its requests waits, or waits no more. */
  wait(tenant: Tenant, change: 1 | -1): void {
    tenant.waiting += change;
    if (change === 1 && tenant.waiting === 1) {
      this.#idle.remove(tenant);
      tenant.spentMs = Math.max(tenant.spentMs, this.#nowMs);
      this.#waiting.put(tenant);
    } else if (tenant.waiting === 0) {
      this.#waiting.remove(tenant);
      this.#idle.put(tenant);
      this.#advance();
    }
  }

  /** The batch of one of its requests starts, before what is in it is charged. */
  served(tenant: Tenant): void {
    // Whoever is further behind cannot use this device. It must not keep time from going on: else whoever comes new,
    // level with it, would be owed all that the others have used since it waits. Nor is it owed that itself.
    this.#nowMs = Math.max(this.#nowMs, tenant.spentMs - FAIRNESS_QUANTUM_MS);
    tenant.spentMs = Math.max(tenant.spentMs, this.#nowMs - FAIRNESS_QUANTUM_MS);
  }

  /** It has been given device time. Where nobody waits, that is at nobody's cost. */
  charge(tenant: Tenant, deviceMs: number): void {
    if (this.#waiting.size === 0) return;
    tenant.spentMs += deviceMs / tenant.weight;
    if (tenant.waiting > 0) this.#waiting.put(tenant);
    else {
      // It may have been forgotten when its last request left the queue.
      this.#tenants.set(tenant.name, tenant);
      this.#idle.put(tenant);
    }
    this.#advance();
  }

  /** By how much it is so far ahead that it yields to those who have used less, in device milliseconds; 0 if it is not. */
  aheadBy(tenant: Tenant): number {
    if (this.#waiting.size < 2) return 0;
    const ms = tenant.spentMs - this.#nowMs;
    return ms > FAIRNESS_QUANTUM_MS ? ms : 0;
  }

  #weigh(name: string): number {
    let weight: unknown;
    try {
      weight = this.weightOf(name);
    } catch (error) {
      weight = error;
    }
    if (typeof weight === "number" && weight >= LEAST_WEIGHT && weight <= MOST_WEIGHT) return weight;
    const expected = `a function that answers a number from ${LEAST_WEIGHT} to ${MOST_WEIGHT} for tenant`;
    return optionsOf("gpuPool").refuse("tenantWeight", weight, `${expected} ${JSON.stringify(name)}`);
  }

  #advance(): void {
    const behind = this.#waiting.first;
    if (behind !== undefined) this.#nowMs = Math.max(this.#nowMs, behind.spentMs);
    for (let idle = this.#idle.first; idle !== undefined; idle = this.#idle.first) {
      if (idle.spentMs > this.#nowMs && this.#idle.size <= MAX_IDLE) break;
      this.#idle.remove(idle);
      if (this.#tenants.get(idle.name) === idle) this.#tenants.delete(idle.name);
    }
  }
}

function spentLess(a: Tenant, b: Tenant): boolean {
  return a.spentMs === b.spentMs ? a.name < b.name : a.spentMs < b.spentMs;
}
