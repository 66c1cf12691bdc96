// One clause on trial: a region in which nothing is, and short words for what is asked of it.
import { ensure, present, same } from "@holdfast/core/testing";
import type {
  CacheChanges,
  CacheReading,
  CacheRead,
  CacheRegion,
  CacheStore,
  SharedEntry,
  SharedValue,
} from "../shared/store.ts";

/** What the suite is run on. */
export interface CacheStoreSubject {
  /** A store for each test; values of other tests may be in it. The suite closes it. */
  readonly make: () => CacheStore | Promise<CacheStore>;
  /** Lets this many milliseconds pass on the store's clock; never less. */
  readonly advance: (ms: number) => Promise<void>;
  /** The unit of time of the suite, in milliseconds. With a server's clock long enough for a dozen calls. @defaultValue 1_000 */
  readonly unitMs?: number;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
}

const HOUR_MS = 3_600_000;

export class Trial {
  readonly region: CacheRegion;
  readonly unitMs: number;

  constructor(
    readonly store: CacheStore,
    private readonly subject: CacheStoreSubject,
  ) {
    this.unitMs = subject.unitMs ?? 1_000;
    this.region = this.openRegion();
  }

  /** A region that nobody else has. */
  openRegion(): CacheRegion {
    return this.store.open(`trial-${crypto.randomUUID()}`);
  }

  pass(units: number): Promise<void> {
    return this.subject.advance(units * this.unitMs);
  }

  value(payload: string | undefined, more: Partial<SharedValue> = {}): SharedValue {
    return { payload, tags: [], freshMs: HOUR_MS, lastMs: 2 * HOUR_MS, loadMs: 1, ...more };
  }

  read(
    id: string,
    lease: CacheRead["lease"] = "never",
    more: Partial<CacheRead> = {},
  ): Promise<CacheReading> {
    const request = { id, lease, have: 0, leaseMs: HOUR_MS, idleMs: Infinity, holder: "one", instead: 0 };
    return this.region.read({ ...request, ...more });
  }

  /** The fence of a lease that is to be given. */
  async leased(
    id: string,
    lease: CacheRead["lease"] = "missing",
    more: Partial<CacheRead> = {},
  ): Promise<number> {
    const reading = await this.read(id, lease, more);
    if (reading.lease.kind === "granted") return reading.lease.fence;
    throw ensured(`a lease of ${id} is to be given, and is ${reading.lease.kind}`);
  }

  async expectLease(
    kind: CacheReading["lease"]["kind"],
    reading: Promise<CacheReading>,
    what: string,
  ): Promise<void> {
    same((await reading).lease.kind, kind, what);
  }

  async entry(id: string): Promise<SharedEntry> {
    return present((await this.read(id)).entry, `a value of ${id}`);
  }

  async expectValue(id: string, payload: string, what: string): Promise<void> {
    const { entry } = await this.read(id);
    same(entry?.payload, payload, what);
  }

  async expectNothing(id: string, what: string): Promise<void> {
    const { entry } = await this.read(id);
    ensure(entry === undefined, `${what}: there is ${JSON.stringify(entry)}`);
  }

  async filled(id: string, fence: number, value: SharedValue, what: string): Promise<void> {
    same(await this.region.fill(id, fence, value), true, what);
  }

  async notFilled(id: string, fence: number, value: SharedValue, what: string): Promise<void> {
    same(await this.region.fill(id, fence, value), false, what);
  }

  /** What has changed since an answer, which is to be told in full. */
  async told(since: CacheChanges): Promise<CacheChanges> {
    const changes = await this.region.changes(since.cursor);
    ensure(!changes.isReset, "so few changes are told one by one");
    return changes;
  }
}

function ensured(what: string): Error {
  try {
    ensure(false, what);
  } catch (error) {
    return error as Error;
  }
  return new TypeError(what);
}
