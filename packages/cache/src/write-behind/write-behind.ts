// Write-behind: writes that a log has acknowledged reach their source in the background, the newest of each key.
import type { Duration } from "@holdfast/core";
import { asError, ClosedError, optionsOf } from "@holdfast/core";
import type { Cacheable, CacheKey, LoadContext } from "../contract.ts";
import { Appends } from "./appends.ts";
import type {
  DeadLetter,
  DeadLetters,
  WriteBehind,
  WriteBehindOptions,
  WriteBehindSnapshot,
  WriteCallOptions,
  WriteCodec,
} from "./contract.ts";
import { WriteUnreadableError } from "./errors.ts";
import { Flusher } from "./flusher.ts";
import type { Claim, DeadEntry, WriteLogStats } from "./log.ts";
import type { WriteBehindSettings } from "./settings.ts";
import { settingsOf } from "./settings.ts";
import { keyOfLog, logCodec, logKeyOf } from "./texts.ts";

/**
 * Makes writes as fast as a log can keep them: `write` resolves once the log has acknowledged it, and the source is written
 * to in the background. Of each key only the newest value is written, never two at a time, never an older one after a newer
 * one. What fails is tried again; what fails too often is kept as a dead letter. `load` knows what is pending, so that no
 * reader is given the source's old value meanwhile.
 *
 * What is promised lasts as long as the log: see the loss window of the log you choose.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { createCache, memoryWriteLog, writeBehind } from "@holdfast/cache";
 *
 * const source = new Map<string, number>();
 * const behind = writeBehind({
 *   log: memoryWriteLog(),
 *   load: async (id: string) => source.get(id),
 *   write: async (id, stock: number) => void source.set(id, stock),
 *   delay: "5s",
 * });
 * const stock = createCache({ load: behind.load, write: behind.write });
 * await stock.put("book", 6);
 * await stock.put("book", 5);
 * [await stock.get("book"), source.get("book")]; // => [5, undefined]
 * await behind.flush();
 * source.get("book"); // => 5
 * await behind.close();
 * ```
 */
export function writeBehind<Key extends CacheKey, Value extends Cacheable>(
  options: WriteBehindOptions<Key, Value>,
): WriteBehind<Key, Value> {
  return new LoggedWrites(options, settingsOf(options));
}

/** How long `close` flushes, in milliseconds, unless told otherwise. */
const CLOSE_WITHIN_MS = 10_000;

/** How often a flush looks what is left, in milliseconds, while this process writes. */
const LOOK_MS = 100;

class LoggedWrites<Key extends CacheKey, Value extends Cacheable> implements WriteBehind<Key, Value> {
  readonly name: string;
  readonly write: WriteBehind<Key, Value>["write"];
  readonly load: WriteBehind<Key, Value>["load"];
  readonly deadLetters: DeadLetters<Key, Value>;
  readonly #codec: WriteCodec<Value>;
  readonly #appends: Appends;
  readonly #flusher: Flusher;
  /** Those who wait until this process writes nothing. */
  readonly #watchers = new Set<() => void>();
  #state: WriteBehindSnapshot["state"] = "open";
  #accepted = 0;
  #closing: Promise<number | undefined> | undefined;

  constructor(
    private readonly options: WriteBehindOptions<Key, Value>,
    private readonly settings: WriteBehindSettings,
  ) {
    this.name = settings.name;
    this.#codec = logCodec(options.codec);
    this.#flusher = new Flusher(
      settings,
      (claims, signal) => this.#toSource(claims, signal),
      () => {
        this.#appends.roomMade();
        if (this.#flusher.writing === 0) for (const watcher of this.#watchers) watcher();
      },
    );
    this.#appends = new Appends(
      settings,
      () => this.#flusher.wake(settings.delayMs),
      (error) => {
        this.#flusher.logFailed("append", error);
        // It may be in the log all the same.
        this.#flusher.wake(Math.max(settings.delayMs, settings.pollMs));
      },
    );
    this.write = (key, value, call) => this.#write(key, value, call);
    this.load = (key, context) => this.#load(key, context);
    this.deadLetters = this.#deadLetters();
    // What a process that had this log before has left.
    this.#flusher.wake(0);
  }

  async flush({ signal }: WriteCallOptions = {}): Promise<void> {
    if (this.#state !== "open") throw this.#closedError();
    await this.#flush(signal);
  }

  stats({ signal }: WriteCallOptions = {}): Promise<WriteLogStats> {
    return this.settings.log.stats(callOf(signal));
  }

  snapshot(): WriteBehindSnapshot {
    const { written, failures, deadLetters, lost, logFailures } = this.#flusher.counts;
    return {
      kind: "write-behind",
      name: this.name,
      state: this.#state,
      writing: this.#flusher.writing,
      waiting: this.#appends.waiting,
      accepted: this.#accepted,
      written,
      failures,
      deadLetters,
      lost,
      logFailures,
    };
  }

  close(options: { readonly within?: Duration } = {}): Promise<number | undefined> {
    const withinMs = optionsOf("close").duration("within", options.within, {}, CLOSE_WITHIN_MS);
    this.#closing ??= this.#close(withinMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(key: Key, value: Value, { signal }: WriteCallOptions = {}): Promise<void> {
    if (this.#state !== "open") throw this.#closedError();
    await this.#appends.append(logKeyOf(key), this.#codec.encode(value), signal);
    this.#accepted += 1;
  }

  async #load(key: Key, context: LoadContext<Value>): Promise<Value | undefined> {
    const text = await this.settings.log
      .read(logKeyOf(key), callOf(context.signal))
      .catch((error: unknown) => {
        if (!context.signal.aborted) this.#flusher.logFailed("read", error);
        throw error;
      });
    return text === undefined ? this.options.load?.(key, context) : this.#decode(text);
  }

  #decode(text: string): Value {
    try {
      return this.#codec.decode(text);
    } catch (thrown) {
      throw new WriteUnreadableError(this.name, { cause: asError(thrown) });
    }
  }

  /** Answers with an error, or `undefined`, for each. Throws if all have failed. */
  async #toSource(claims: readonly Claim[], signal: AbortSignal): Promise<readonly (Error | undefined)[]> {
    const { write, writeMany } = this.options;
    const errors: (Error | undefined)[] = [];
    const entries = claims.flatMap((claim, index) => {
      const { fence, attempt } = claim;
      try {
        return [{ key: keyOfLog(claim.key) as Key, value: this.#decode(claim.value), fence, attempt, index }];
      } catch (error) {
        errors[index] = asError(error);
        return [];
      }
    });
    if (writeMany === undefined) {
      for (const { key, value, fence, attempt } of entries)
        await write?.(key, value, { signal, fence, attempt });
    } else if (entries.length > 0) {
      const given = entries.map(({ key, value, fence, attempt }) => ({ key, value, fence, attempt }));
      const answer: unknown = await writeMany(given, { signal });
      if (Array.isArray(answer))
        for (const [at, { index }] of entries.entries())
          if (answer[at] instanceof Error) errors[index] = answer[at];
    }
    return claims.map((_, index) => errors[index]);
  }

  async #flush(signal: AbortSignal | undefined): Promise<void> {
    const calm = this.#flusher.hurry();
    try {
      const { latest } = await this.stats({ signal });
      for (;;) {
        this.#flusher.wake(0);
        const { oldest } = await this.stats({ signal });
        if (oldest === undefined || oldest > latest) return;
        if (this.#state === "closed") throw this.#closedError();
        await this.#untilIdle(signal);
      }
    } finally {
      calm();
    }
  }

  /** Until this process writes nothing, or what is left may be less all the same: the log is not asked after each write. */
  async #untilIdle(signal: AbortSignal | undefined): Promise<void> {
    const { clock, pollMs } = this.settings;
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    this.#watchers.add(wake);
    signal?.addEventListener("abort", wake, { once: true });
    try {
      signal?.throwIfAborted();
      // Somebody waits for it: it is work, and keeps the process.
      await clock.sleep(Math.min(pollMs, LOOK_MS), woken.signal, { keepAlive: true }).catch(() => {});
      signal?.throwIfAborted();
    } finally {
      this.#watchers.delete(wake);
      signal?.removeEventListener("abort", wake);
    }
  }

  async #close(withinMs: number): Promise<number | undefined> {
    const { clock, pollMs } = this.settings;
    this.#state = "closing";
    const limit = new AbortController();
    const timer = clock.setTimer(withinMs, () => limit.abort(), { keepAlive: true });
    const refused = this.#appends.close();
    if (withinMs > 0) {
      await orAbort(refused, limit.signal);
      while (!limit.signal.aborted) {
        const isDone = await this.#flush(limit.signal).then(
          () => true,
          () => false,
        );
        if (isDone) break;
        await clock.sleep(pollMs, limit.signal, { keepAlive: true }).catch(() => {});
      }
    }
    timer.cancel();
    await this.#flusher.stop();
    this.#state = "closed";
    for (const watcher of this.#watchers) watcher();
    return this.stats().then(
      ({ pending }) => pending,
      () => undefined,
    );
  }

  #deadLetters(): DeadLetters<Key, Value> {
    const { log } = this.settings;
    const check = optionsOf("deadLetters");
    return {
      list: async ({ limit, offset, signal } = {}) => {
        const most = check.integer("limit", limit, { min: 1, max: 1_000 }, 100);
        const from = check.integer("offset", offset, { min: 0 }, 0);
        const entries = await log.deadEntries(most, from, callOf(signal));
        return entries.map((entry) => this.#letterOf(entry));
      },
      redrive: async (keys, { signal } = {}) => {
        const count = await log.redrive(keys?.map(logKeyOf), callOf(signal));
        this.#flusher.wake(0);
        return count;
      },
      discard: async (keys, { signal } = {}) => {
        const count = await log.discard(keys.map(logKeyOf), callOf(signal));
        this.#appends.roomMade();
        return count;
      },
    };
  }

  #letterOf({ key, value, attempts, error, diedAtMs }: DeadEntry): DeadLetter<Key, Value> {
    const letter = { key: keyOfLog(key) as Key, attempts, error, diedAtMs };
    try {
      return { ...letter, value: this.#decode(value) };
    } catch {
      return letter;
    }
  }

  #closedError(): ClosedError {
    return new ClosedError(`the write-behind ${this.name}`);
  }
}

function callOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** Resolves with the promise, or when the signal aborts. */
function orAbort(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => resolve();
    signal.addEventListener("abort", end, { once: true });
    promise.finally(() => signal.removeEventListener("abort", end)).then(end, end);
  });
}
