// Writes on their way into the log: one of a key at a time, the newest in place of those behind it, and a line for room.
import type { Timer } from "@holdfast/core";
import { ClosedError } from "@holdfast/core";
import { WriteBehindFullError } from "./errors.ts";
import type { AppendOutcome } from "./log.ts";
import type { WriteBehindSettings } from "./settings.ts";

/** One value on its way; several callers may wait for it, if its value took the place of theirs. */
interface Item {
  readonly key: string;
  value: string;
  /** Callers that have not left. */
  interested: number;
  /** It is being appended, or was: another value cannot take its place any more. */
  isSent: boolean;
  readonly settled: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Slot {
  current: Item;
  next: Item | undefined;
}

/** One who waits for room. */
interface Place {
  readonly item: Item;
  readonly timer: Timer;
  isLate: boolean;
  readonly end: (error?: Error) => void;
}

export class Appends {
  readonly #slots = new Map<string, Slot>();
  readonly #line = new Set<Place>();
  #poll: Timer | undefined;
  #isServing = false;
  #closed = false;

  constructor(
    private readonly settings: WriteBehindSettings,
    private readonly onAppended: () => void,
    private readonly onFailed: (error: Error) => void,
  ) {}

  get waiting(): number {
    return this.#line.size;
  }

  /** Resolves when the value, or one that came after it, is in the log. */
  append(key: string, value: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closedError());
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const item = this.#itemFor(key, value);
    item.interested += 1;
    return signal === undefined ? item.settled : this.#unlessLeft(item, signal);
  }

  /** There may be room again. */
  roomMade(): void {
    if (this.#line.size > 0) void this.#serve();
  }

  /** Refuses who waits for room, and waits for what is being appended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const place of this.#line) if (!place.item.isSent) place.end(this.#closedError());
    await Promise.allSettled([...this.#slots.values()].map(({ current }) => current.settled));
  }

  #itemFor(key: string, value: string): Item {
    const slot = this.#slots.get(key);
    if (slot === undefined) {
      const item = newItem(key, value);
      this.#slots.set(key, { current: item, next: undefined });
      void this.#send(item);
      return item;
    }
    const item = slot.current.isSent ? (slot.next ??= newItem(key, value)) : slot.current;
    item.value = value;
    return item;
  }

  #unlessLeft(item: Item, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        item.interested -= 1;
        reject(signal.reason as Error);
        this.#withdraw(item);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      item.settled
        .finally(() => signal.removeEventListener("abort", onAbort))
        .then(resolve, (error: unknown) => reject(error as Error));
    });
  }

  /** Nobody waits for it any more. */
  #withdraw(item: Item): void {
    if (item.interested > 0 || item.isSent) return;
    for (const place of this.#line) if (place.item === item) place.end(this.#closedError());
  }

  /** Never rejects: the item is told. */
  async #send(item: Item): Promise<void> {
    try {
      await this.#appendInTurn(item);
      item.resolve();
    } catch (error) {
      item.reject(error as Error);
    }
    const slot = this.#slots.get(item.key);
    const next = slot?.next;
    if (slot === undefined || next === undefined) {
      this.#slots.delete(item.key);
      return;
    }
    slot.current = next;
    slot.next = undefined;
    void this.#send(next);
  }

  async #appendInTurn(item: Item): Promise<void> {
    if (this.#closed) throw this.#closedError();
    if (this.#line.size === 0) {
      const outcome = await this.#append(item);
      if (outcome.kind === "appended") return;
      const { waitMs, name } = this.settings;
      if (waitMs === 0) throw new WriteBehindFullError(name, outcome.keys);
    }
    await this.#room(item);
  }

  async #append(item: Item): Promise<AppendOutcome> {
    const { log, delayMs, maxKeys } = this.settings;
    // It stays so once it is in the log, or once it has failed: what comes then is another write.
    item.isSent = true;
    try {
      const outcome = await log.append({ key: item.key, value: item.value, delayMs, maxKeys });
      if (outcome.kind === "appended") this.onAppended();
      else item.isSent = false;
      return outcome;
    } catch (error) {
      this.onFailed(error as Error);
      throw error;
    }
  }

  #room(item: Item): Promise<void> {
    const { clock, waitMs, maxKeys, maxWaiting, name } = this.settings;
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(this.#closedError());
        return;
      }
      if (this.#line.size >= maxWaiting) {
        reject(new WriteBehindFullError(name, maxKeys));
        return;
      }
      const onLate = (): void => {
        place.isLate = true;
        if (!item.isSent) place.end(new WriteBehindFullError(name, maxKeys));
      };
      const place: Place = {
        item,
        isLate: false,
        timer: clock.setTimer(waitMs, onLate, { keepAlive: true }),
        end: (error) => {
          item.isSent = true;
          place.timer.cancel();
          this.#line.delete(place);
          if (this.#line.size === 0) this.#stopPolling();
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#line.add(place);
      this.#pollLater();
    });
  }

  /** Appends for those in the line, in order, until there is no room. */
  async #serve(): Promise<void> {
    if (this.#isServing) return;
    this.#isServing = true;
    for (const place of this.#line) {
      try {
        const outcome = await this.#append(place.item);
        if (outcome.kind === "appended") place.end();
        else if (place.isLate) place.end(new WriteBehindFullError(this.settings.name, outcome.keys));
        else if (this.#closed) place.end(this.#closedError());
        else break;
      } catch (error) {
        place.end(error as Error);
      }
    }
    this.#isServing = false;
    if (this.#line.size > 0) this.#pollLater();
  }

  /** Other processes make room too. */
  #pollLater(): void {
    const { clock, pollMs } = this.settings;
    this.#poll ??= clock.setTimer(pollMs, () => {
      this.#poll = undefined;
      void this.#serve();
    });
  }

  #stopPolling(): void {
    this.#poll?.cancel();
    this.#poll = undefined;
  }

  #closedError(): ClosedError {
    return new ClosedError(`the write-behind ${this.settings.name}`);
  }
}

function newItem(key: string, value: string): Item {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const settled = new Promise<void>((onDone, onError) => {
    resolve = onDone;
    reject = onError;
  });
  // Those who wait are told; all of them may have left.
  settled.catch(() => {});
  return { key, value, interested: 0, isSent: false, settled, resolve, reject };
}
