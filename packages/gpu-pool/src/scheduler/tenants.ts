// Who has used how much device time: start-time fair queueing over predicted batch times.
import type { Place } from "@holdfast/core/collections";
import { IndexedHeap } from "@holdfast/core/collections";

/** Whose device time is counted. */
export interface Tenant {
  readonly name: string;
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

  tenant(name: string): Tenant {
    const known = this.#tenants.get(name);
    if (known !== undefined) return known;
    const tenant: Tenant = { name, waiting: 0, spentMs: this.#nowMs, waitPlace: -1, idlePlace: -1 };
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

  /** It has been given device time. */
  charge(tenant: Tenant, deviceMs: number): void {
    tenant.spentMs += deviceMs / this.weightOf(tenant.name);
    if (tenant.waiting > 0) this.#waiting.put(tenant);
    else if (this.#tenants.has(tenant.name)) this.#idle.put(tenant);
    this.#advance();
  }

  /** Whether it has to yield to those who have used less. */
  isAhead(tenant: Tenant): boolean {
    return this.#waiting.size > 1 && tenant.spentMs - this.#nowMs > FAIRNESS_QUANTUM_MS;
  }

  #advance(): void {
    const behind = this.#waiting.first;
    if (behind !== undefined) this.#nowMs = Math.max(this.#nowMs, behind.spentMs);
    for (let idle = this.#idle.first; idle !== undefined; idle = this.#idle.first) {
      if (idle.spentMs > this.#nowMs && this.#idle.size <= MAX_IDLE) break;
      this.#idle.remove(idle);
      this.#tenants.delete(idle.name);
    }
  }
}

function spentLess(a: Tenant, b: Tenant): boolean {
  return a.spentMs === b.spentMs ? a.name < b.name : a.spentMs < b.spentMs;
}
