// A store of shared values in this process: the rules of all stores, for tests and for several caches over one.
import type { Clock } from "@holdfast/core";
import { ClosedError, notify, optionsOf, systemClock } from "@holdfast/core";
import { LRUCache } from "lru-cache";
import type {
  CacheChanges,
  CacheCursor,
  CacheLease,
  CacheRead,
  CacheReading,
  CacheRegion,
  CacheStore,
  CacheStoreTraits,
  RegionWatcher,
  SharedValue,
} from "./store.ts";

export interface MemoryCacheStoreOptions {
  /** Most keys of a region. From 1. @defaultValue 100_000 */
  readonly maxEntries?: number;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The defaults of `memoryCacheStore`. */
export const MEMORY_CACHE_STORE_DEFAULTS: { readonly maxEntries: number } = { maxEntries: 100_000 };

/** Most changes, and most tags, that a region remembers; what is older counts as changed. */
const MEMORABLE = 10_000;

/** Most changes in one answer. */
const TOLD = 1_000;

/**
 * Keeps shared values in this process: for tests, and for several caches of one process.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { createCache, memoryCacheStore, sharedTier } from "@holdfast/cache";
 *
 * const store = memoryCacheStore();
 * let loads = 0;
 * const make = () =>
 *   createCache({ load: async (id: string) => `${id}:${(loads += 1)}`, share: sharedTier({ store }) });
 * const [one, two] = [make(), make()];
 * await Promise.all([one.get("a"), two.get("a"), one.get("a")]);
 * loads; // => 1
 * await two.invalidate("a");
 * await one.close();
 * await two.close();
 * ```
 */
export function memoryCacheStore(options: MemoryCacheStoreOptions = {}): CacheStore {
  const check = optionsOf("memoryCacheStore");
  const { maxEntries } = MEMORY_CACHE_STORE_DEFAULTS;
  return new MemoryCacheStore(
    check.integer("maxEntries", options.maxEntries, { min: 1 }, maxEntries),
    options.clock ?? systemClock,
  );
}

class MemoryCacheStore implements CacheStore {
  readonly traits: CacheStoreTraits = { shared: false, clock: "caller" };
  readonly #regions = new Map<string, MemoryRegion>();
  #closed = false;

  constructor(
    private readonly maxEntries: number,
    private readonly clock: Clock,
  ) {}

  open(name: string): CacheRegion {
    const known = this.#regions.get(name);
    if (known !== undefined) return known;
    const checkOpen = (): void => {
      if (this.#closed) throw new ClosedError("a store of shared values");
    };
    const region = new MemoryRegion(this.maxEntries, this.clock, checkOpen);
    this.#regions.set(name, region);
    return region;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#regions.clear();
  }
}

/** All that is known of one key. Times are of the clock's monotonic time. */
interface Cell {
  value: Kept | undefined;
  lease: { readonly fence: number; readonly holder: string; until: number } | undefined;
  writes: Write[];
  /** What is stale is not loaded again before this. */
  quietUntil: number;
}

interface Kept extends SharedValue {
  readonly version: number;
  readonly freshUntil: number;
  readonly lastsUntil: number;
  idleUntil: number;
}

interface Write {
  readonly fence: number;
  until: number;
  isOverlapped: boolean;
}

class MemoryRegion implements CacheRegion {
  readonly #cells: LRUCache<string, Cell>;
  readonly #tags = new Map<string, number>();
  /** Of tags that are not remembered, none was invalidated later. */
  #tagFloor = 0;
  readonly #changed = new Map<string, number>();
  /** Changes up to this one are not remembered. */
  #changeFloor = 0;
  #cleared = 0;
  #last = 0;
  readonly #watchers = new Set<() => void>();

  constructor(
    maxEntries: number,
    private readonly clock: Clock,
    private readonly checkOpen: () => void,
  ) {
    this.#cells = new LRUCache({ max: maxEntries });
  }

  async read(request: CacheRead): Promise<CacheReading> {
    this.checkOpen();
    const { id, have, lease, idleMs } = request;
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    const { value } = cell;
    if (value !== undefined) value.idleUntil = now + idleMs;
    const isFresh = value !== undefined && now < value.freshUntil;
    const isSame = value !== undefined && value.version === have;
    const isPaused = value !== undefined && now < cell.quietUntil;
    const isWanted =
      lease === "always" ||
      (lease === "missing" && !isFresh && !isPaused) ||
      (lease === "same" && (!isFresh || isSame) && !isPaused);
    return {
      lease: isWanted ? this.#grant(cell, request, now) : { kind: "none" },
      entry:
        value === undefined
          ? undefined
          : {
              version: value.version,
              isSame,
              payload: isSame ? undefined : value.payload,
              tags: isSame ? [] : value.tags,
              freshForMs: value.freshUntil - now,
              freshMs: value.freshMs,
              loadMs: value.loadMs,
            },
    };
  }

  async fill(id: string, fence: number, value: SharedValue): Promise<boolean> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    // One that has run out is good as long as nobody has got another.
    if (cell.lease?.fence !== fence) return false;
    cell.lease = undefined;
    if (!this.#isGood(value.tags, fence)) return false;
    cell.value = kept(value, fence, now);
    return true;
  }

  async set(id: string, value: SharedValue): Promise<number> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const version = this.#change(id);
    const cell = this.#emptied(id, now);
    cell.value = kept(value, version, now);
    return version;
  }

  async beginWrite(id: string, leaseMs: number): Promise<number> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    const fence = this.#next();
    cell.lease = undefined;
    for (const write of cell.writes) write.isOverlapped = true;
    cell.writes.push({ fence, until: now + leaseMs, isOverlapped: cell.writes.length > 0 });
    return fence;
  }

  async endWrite(id: string, fence: number, value: SharedValue | undefined): Promise<boolean> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    const version = this.#change(id);
    const write = cell.writes.find((one) => one.fence === fence);
    cell.writes = cell.writes.filter((one) => one !== write);
    const isAlone = write !== undefined && !write.isOverlapped;
    const isKept = isAlone && value !== undefined && this.#isGood(value.tags, fence);
    this.#emptied(id, now);
    if (isKept) cell.value = kept(value, version, now);
    return isKept;
  }

  async renew(id: string, fence: number, leaseMs: number): Promise<boolean> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    const held = [cell.lease, ...cell.writes].find((one) => one?.fence === fence);
    if (held === undefined) return false;
    held.until = now + leaseMs;
    return true;
  }

  async release(id: string, fence: number, pauseMs: number): Promise<void> {
    this.checkOpen();
    const now = this.clock.monotonic();
    const cell = this.#cellOf(id, now);
    if (cell.lease?.fence !== fence) return;
    cell.lease = undefined;
    cell.quietUntil = now + pauseMs;
  }

  async invalidate(id: string): Promise<void> {
    this.checkOpen();
    this.#change(id);
    this.#emptied(id, this.clock.monotonic());
  }

  async invalidateTag(tag: string): Promise<void> {
    this.checkOpen();
    this.#tagFloor = remember(this.#tags, tag, this.#next(), this.#tagFloor);
    this.#tell();
  }

  async clear(): Promise<void> {
    this.checkOpen();
    this.#cleared = this.#next();
    this.#tell();
  }

  watch({ changed }: RegionWatcher): () => void {
    this.#watchers.add(changed);
    return () => void this.#watchers.delete(changed);
  }

  async changes(since: CacheCursor | undefined): Promise<CacheChanges> {
    this.checkOpen();
    const cursor = String(this.#last);
    const after = Number(since ?? 0);
    const [keys, tags] = [later(this.#changed, after), later(this.#tags, after)];
    const isReset =
      since === undefined ||
      after < Math.max(this.#changeFloor, this.#tagFloor, this.#cleared) ||
      keys.length + tags.length > TOLD;
    if (isReset) return { cursor, isReset, keys: [], tags: [] };
    return { cursor, isReset, keys, tags: tags.map(([tag]) => tag) };
  }

  #next(): number {
    return (this.#last += 1);
  }

  #change(id: string): number {
    const version = this.#next();
    this.#changeFloor = remember(this.#changed, id, version, this.#changeFloor);
    this.#tell();
    return version;
  }

  #tell(): void {
    for (const changed of this.#watchers) notify(changed, undefined);
  }

  /** What is known of the key now: what is over is gone from it. */
  #cellOf(id: string, now: number): Cell {
    let cell = this.#cells.get(id);
    if (cell === undefined) {
      cell = { value: undefined, lease: undefined, writes: [], quietUntil: 0 };
      this.#cells.set(id, cell);
    }
    const { value, writes } = cell;
    // A writer that has gone silent may have changed the source.
    const isInDoubt = writes.some(({ until }) => until <= now);
    if (isInDoubt) cell.writes = writes.filter(({ until }) => now < until);
    if (isInDoubt || (value !== undefined && !this.#isThere(value, now))) cell.value = undefined;
    return cell;
  }

  #isThere(value: Kept, now: number): boolean {
    return now < value.lastsUntil && now < value.idleUntil && this.#isGood(value.tags, value.version);
  }

  #isGood(tags: readonly string[], version: number): boolean {
    if (version <= this.#cleared) return false;
    return tags.every((tag) => (this.#tags.get(tag) ?? this.#tagFloor) <= version);
  }

  #grant(cell: Cell, request: CacheRead, now: number): CacheLease {
    const until = Math.max(0, ...cell.writes.map((write) => write.until));
    if (until > now) return { kind: "writing", forMs: until - now };
    const { holder, instead, leaseMs } = request;
    const { lease } = cell;
    const isHeld = lease !== undefined && now < lease.until && lease.fence > this.#cleared;
    if (isHeld && request.lease !== "always" && lease.fence !== instead) {
      const forMs = lease.until - now;
      return { kind: "held", fence: lease.fence, forMs, isOwn: lease.holder === holder };
    }
    const fence = this.#next();
    cell.lease = { fence, holder, until: now + leaseMs };
    return { kind: "granted", fence };
  }

  /** Without a value and leases; writes that are under way have been overlapped. */
  #emptied(id: string, now: number): Cell {
    const cell = this.#cellOf(id, now);
    cell.value = undefined;
    cell.lease = undefined;
    cell.quietUntil = 0;
    for (const write of cell.writes) write.isOverlapped = true;
    return cell;
  }
}

function kept(value: SharedValue, version: number, now: number): Kept {
  return {
    ...value,
    version,
    freshUntil: now + value.freshMs,
    lastsUntil: now + value.lastMs,
    idleUntil: Infinity,
  };
}

/** Puts it last, and drops the first if there are too many. @returns the new floor. */
function remember(numbers: Map<string, number>, name: string, number: number, floor: number): number {
  numbers.delete(name);
  numbers.set(name, number);
  if (numbers.size <= MEMORABLE) return floor;
  const [oldest, dropped] = numbers.entries().next().value!;
  numbers.delete(oldest);
  return dropped;
}

/** Those above the number, newest first. */
function later(numbers: ReadonlyMap<string, number>, after: number): (readonly [string, number])[] {
  return [...numbers].filter(([, number]) => number > after);
}
