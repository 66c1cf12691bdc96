// A write log in this process: nothing of it outlives the process.
import type { Clock } from "@holdfast/core";
import { ClosedError, optionsOf, systemClock } from "@holdfast/core";
import type {
  AppendOutcome,
  AppendRequest,
  Claimed,
  ClaimRef,
  ClaimRequest,
  DeadEntry,
  SettleOutcome,
  Settlement,
  StoreCallOptions,
  WriteLog,
  WriteLogStats,
  WriteLogTraits,
} from "../log.ts";
import type { Times } from "../log-table.ts";
import { LogTable } from "../log-table.ts";

export interface MemoryWriteLogOptions {
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/**
 * Keeps writes in this process. Its loss window is everything: what is not flushed when the process ends, for whatever
 * reason, is lost. `close` of the write-behind at shutdown flushes it.
 *
 * @throws InvalidOptionError when the options are not an object.
 *
 * @example
 * ```ts
 * import { memoryWriteLog } from "@holdfast/cache";
 *
 * const log = memoryWriteLog();
 * await log.append({ key: '"a"', value: "1", delayMs: 0, maxKeys: 10 });
 * await log.read('"a"'); // => "1"
 * ```
 */
export function memoryWriteLog(options: MemoryWriteLogOptions = {}): WriteLog {
  optionsOf("memoryWriteLog").object("options", options);
  return new MemoryWriteLog(options.clock ?? systemClock);
}

class MemoryWriteLog implements WriteLog {
  readonly traits: WriteLogTraits = { shared: false, clock: "caller", durability: "none" };
  readonly #table = new LogTable();
  #closed = false;

  constructor(private readonly clock: Clock) {}

  async append(request: AppendRequest, options?: StoreCallOptions): Promise<AppendOutcome> {
    return this.#open(options).append(request, this.#times());
  }

  async read(key: string, options?: StoreCallOptions): Promise<string | undefined> {
    return this.#open(options).read(key);
  }

  async claim(request: ClaimRequest, options?: StoreCallOptions): Promise<Claimed> {
    return this.#open(options).claim(request, this.#times());
  }

  async renew(
    claims: readonly ClaimRef[],
    leaseMs: number,
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    return this.#open(options).renew(claims, leaseMs, this.#times());
  }

  async settle(
    settlements: readonly Settlement[],
    options?: StoreCallOptions,
  ): Promise<readonly SettleOutcome[]> {
    return this.#open(options).settle(settlements, this.#times());
  }

  async stats(options?: StoreCallOptions): Promise<WriteLogStats> {
    return this.#open(options).stats();
  }

  async deadEntries(
    limit: number,
    offset: number,
    options?: StoreCallOptions,
  ): Promise<readonly DeadEntry[]> {
    return this.#open(options).deadEntries(limit, offset);
  }

  async redrive(keys?: readonly string[], options?: StoreCallOptions): Promise<number> {
    return this.#open(options).redrive(keys, this.#times());
  }

  async discard(keys: readonly string[], options?: StoreCallOptions): Promise<number> {
    return this.#open(options).discard(keys);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #open(options: StoreCallOptions | undefined): LogTable {
    if (this.#closed) throw new ClosedError("a write log in memory");
    options?.signal?.throwIfAborted();
    return this.#table;
  }

  #times(): Times {
    return { monotonic: this.clock.monotonic(), epoch: this.clock.now() };
  }
}
