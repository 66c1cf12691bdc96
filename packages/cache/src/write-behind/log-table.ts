// The rules of a write log, over a table in memory: time in, outcomes out, and every change told to a journal.
import type {
  AppendOutcome,
  AppendRequest,
  Claim,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  WriteLogStats,
} from "./log.ts";
import { DueHeap } from "./due-heap.ts";

/** What a log that is opened again has to know of a key. */
export interface KeptRow {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  /** The first version since the source was known to have all. */
  readonly since: number;
  readonly attempts: number;
  readonly isDead: boolean;
  readonly error: string;
  readonly diedAtMs: number;
}

/** Told of each change before the verb that made it is answered. */
export interface Journal {
  /** Another value, or a key that was not there. */
  put(row: KeptRow): void;
  /** Everything but the value. */
  change(row: KeptRow): void;
  remove(key: string): void;
}

/** Both times, in milliseconds: leases go by the one, dates and numbers by the other. */
export interface Times {
  readonly monotonic: number;
  readonly epoch: number;
}

/**
 * `fresh`: not tried, and waits for more writes of its key. `waiting`: tried, and waits until it is tried again. `held`: by
 * a claim, until `dueAt`.
 */
type RowState = "fresh" | "waiting" | "held" | "dead";

interface Row extends KeptRow {
  value: string;
  version: number;
  since: number;
  attempts: number;
  isDead: boolean;
  error: string;
  diedAtMs: number;
  state: RowState;
  fence: number;
}

const SILENT: Journal = { put: () => {}, change: () => {}, remove: () => {} };

export class LogTable {
  readonly #rows = new Map<string, Row>();
  readonly #dead = new Set<Row>();
  /** Rows whose delay is not over, for those who do not want to wait for it. */
  readonly #fresh = new Set<Row>();
  readonly #due = new DueHeap<Row>();
  #latest = 0;

  constructor(private readonly journal: Journal = SILENT) {}

  get size(): number {
    return this.#rows.size;
  }

  get latest(): number {
    return this.#latest;
  }

  /** Puts there what a log was found to have; numbers go on above `latest`. */
  restore(rows: Iterable<KeptRow>, latest: number): void {
    this.#latest = latest;
    for (const kept of rows) {
      const state = kept.isDead ? "dead" : kept.attempts > 0 ? "waiting" : "fresh";
      const row: Row = { ...kept, state, fence: 0 };
      this.#rows.set(row.key, row);
      this.#latest = Math.max(this.#latest, row.version);
      this.#enter(row, state, 0);
    }
  }

  *rows(): Iterable<KeptRow> {
    yield* this.#rows.values();
  }

  append({ key, value, delayMs, maxKeys }: AppendRequest, times: Times): AppendOutcome {
    let row = this.#rows.get(key);
    if (row === undefined) {
      if (this.#rows.size >= maxKeys) return { kind: "full", keys: this.#rows.size };
      row = { ...NEW, key, state: "dead" };
      this.#rows.set(key, row);
    }
    row.value = value;
    row.version = this.#next(times);
    row.attempts = 0;
    if (row.state === "dead") {
      row.since = row.version;
      row.isDead = false;
      row.error = "";
      this.#enter(row, "fresh", times.monotonic + delayMs);
    }
    this.journal.put(row);
    return { kind: "appended", version: row.version };
  }

  read(key: string): string | undefined {
    const row = this.#rows.get(key);
    return row === undefined || row.isDead ? undefined : row.value;
  }

  claim({ limit, leaseMs, early }: ClaimRequest, times: Times): Claimed {
    const now = times.monotonic;
    const claims: Claim[] = [];
    const take = (row: Row): void => {
      row.fence = this.#next(times);
      row.attempts += 1;
      this.#enter(row, "held", now + leaseMs);
      this.journal.change(row);
      const { key, value, version, fence, attempts } = row;
      claims.push({ key, value, version, fence, attempt: attempts });
    };
    while (claims.length < limit) {
      const row = this.#due.takeDue(now);
      if (row === undefined) break;
      take(row);
    }
    if (early)
      for (const row of this.#fresh) {
        if (claims.length >= limit) break;
        take(row);
      }
    const { firstAt } = this.#due;
    return firstAt === undefined ? { claims } : { claims, nextInMs: Math.max(0, firstAt - now) };
  }

  renew(claims: readonly ClaimRef[], leaseMs: number, times: Times): readonly SettleOutcome[] {
    return claims.map((claim) => {
      const row = this.#heldBy(claim);
      if (row === undefined) return "lost";
      this.#due.set(row, times.monotonic + leaseMs);
      return "ok";
    });
  }

  settle(settlements: readonly Settlement[], times: Times): readonly SettleOutcome[] {
    return settlements.map((settlement) => {
      const row = this.#heldBy(settlement);
      if (row === undefined) return "lost";
      this.#settle(row, settlement, times);
      return "ok";
    });
  }

  stats(): WriteLogStats {
    let oldest: number | undefined;
    for (const { isDead, since } of this.#rows.values())
      if (!isDead && (oldest === undefined || since < oldest)) oldest = since;
    return {
      pending: this.#rows.size - this.#dead.size,
      dead: this.#dead.size,
      latest: this.#latest,
      ...(oldest === undefined ? {} : { oldest }),
    };
  }

  deadEntries(limit: number, offset: number): readonly DeadEntry[] {
    return [...this.#dead]
      .slice(offset, offset + limit)
      .map(({ key, value, version, attempts, error, diedAtMs }) => ({
        key,
        value,
        version,
        attempts,
        error,
        diedAtMs,
      }));
  }

  redrive(keys: readonly string[] | undefined, times: Times): number {
    const rows = this.#deadOf(keys);
    for (const row of rows) {
      row.isDead = false;
      row.attempts = 0;
      row.error = "";
      // As if just written: whoever waits for all that was written before does not wait for it.
      row.version = this.#next(times);
      row.since = row.version;
      this.#enter(row, "fresh", times.monotonic);
      this.journal.change(row);
    }
    return rows.length;
  }

  discard(keys: readonly string[]): number {
    const rows = this.#deadOf(keys);
    for (const row of rows) this.#remove(row);
    return rows.length;
  }

  #settle(row: Row, settlement: Settlement, times: Times): void {
    const now = times.monotonic;
    const isNewest = row.version === settlement.version;
    if (settlement.kind === "written") {
      if (isNewest) {
        this.#remove(row);
        return;
      }
      row.since = row.version;
      this.#enter(row, "fresh", now);
    } else if (settlement.kind === "failed") {
      if (isNewest) row.error = settlement.error;
      if (isNewest && !settlement.counts) row.attempts -= 1;
      this.#enter(row, "waiting", now + settlement.delayMs);
    } else if (settlement.kind === "dead" && isNewest) {
      row.isDead = true;
      row.error = settlement.error;
      row.diedAtMs = times.epoch;
      this.#enter(row, "dead", now);
    } else {
      if (isNewest) row.attempts -= 1;
      this.#enter(row, row.attempts > 0 ? "waiting" : "fresh", now);
    }
    this.journal.change(row);
  }

  #enter(row: Row, state: RowState, dueAt: number): void {
    row.state = state;
    this.#fresh.delete(row);
    this.#dead.delete(row);
    if (state === "dead") {
      this.#due.delete(row);
      this.#dead.add(row);
      return;
    }
    if (state === "fresh") this.#fresh.add(row);
    this.#due.set(row, dueAt);
  }

  #remove(row: Row): void {
    this.#rows.delete(row.key);
    this.#fresh.delete(row);
    this.#dead.delete(row);
    this.#due.delete(row);
    this.journal.remove(row.key);
  }

  #heldBy({ key, fence }: ClaimRef): Row | undefined {
    const row = this.#rows.get(key);
    return row?.state === "held" && row.fence === fence ? row : undefined;
  }

  #deadOf(keys: readonly string[] | undefined): readonly Row[] {
    if (keys === undefined) return [...this.#dead];
    return [...new Set(keys)].flatMap((key) => {
      const row = this.#rows.get(key);
      return row?.isDead === true ? [row] : [];
    });
  }

  // Not below the time in microseconds: sources remember fences for longer than a process lives.
  #next({ epoch }: Times): number {
    this.#latest = Math.max(this.#latest + 1, Math.floor(epoch * 1_000));
    return this.#latest;
  }
}

const NEW: Omit<Row, "key" | "state"> = {
  value: "",
  version: 0,
  since: 0,
  attempts: 0,
  isDead: false,
  error: "",
  diedAtMs: 0,
  fence: 0,
};
