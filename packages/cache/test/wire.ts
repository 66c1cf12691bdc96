// A connection to a store whose requests and replies arrive when a test says so, in any order, or never.
import type { Clock } from "@holdfast/core";
import { StoreUnavailableError } from "@holdfast/core";
import type { CacheRegion, CacheStore } from "@holdfast/cache";

interface Message {
  readonly deliver: () => void;
  /** It never arrives. */
  readonly lose?: () => void;
}

/** One process's way to a store. */
export class Wire {
  readonly messages: Message[] = [];
  /** Keys of `set`s that have been sent and have not arrived. */
  readonly setsUnderWay: string[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly deadlineMs: number,
  ) {}

  store(inner: CacheStore): CacheStore {
    return {
      traits: inner.traits,
      open: (name) => this.#region(inner.open(name)),
      close: async () => {},
    };
  }

  /** From now on everything arrives at once. */
  open(): void {
    this.#isOpen = true;
    for (const message of this.messages.splice(0)) message.deliver();
  }

  /** The process is gone: what it has sent may still arrive, what comes back does not. */
  cut(): void {
    this.#isCut = true;
  }

  #isCut = false;
  #isOpen = false;

  #region(inner: CacheRegion): CacheRegion {
    const call =
      <Words extends readonly unknown[], T>(method: (...words: Words) => Promise<T>) =>
      (...words: Words): Promise<T> =>
        this.#send(() => method(...words));
    return {
      read: call((request) => inner.read(request)),
      fill: call((id, fence, value) => inner.fill(id, fence, value)),
      set: (id, value) => {
        const { setsUnderWay } = this;
        setsUnderWay.push(id);
        const arrived = (): void => void setsUnderWay.splice(setsUnderWay.indexOf(id), 1);
        return this.#send(() => inner.set(id, value), arrived);
      },
      beginWrite: call((id, leaseMs) => inner.beginWrite(id, leaseMs)),
      endWrite: call((id, fence, value) => inner.endWrite(id, fence, value)),
      renew: call((id, fence, leaseMs) => inner.renew(id, fence, leaseMs)),
      release: call((id, fence, pauseMs) => inner.release(id, fence, pauseMs)),
      invalidate: call((id) => inner.invalidate(id)),
      invalidateTag: call((tag) => inner.invalidateTag(tag)),
      clear: call(() => inner.clear()),
      changes: call((since) => inner.changes(since)),
      watch: ({ changed, lost }) => {
        const told = (): void => this.#push({ deliver: () => !this.#isCut && changed() });
        return inner.watch({ changed: told, lost });
      },
    };
  }

  #send<T>(work: () => Promise<T>, arrived?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimer(this.deadlineMs, () =>
        reject(new StoreUnavailableError("wire", "no answer", { reason: "timeout", outcome: "unknown" })),
      );
      const reply = (settle: () => void): void => {
        if (this.#isCut) return;
        this.#push({
          deliver: () => {
            timer.cancel();
            settle();
          },
        });
      };
      const request = (): void => {
        arrived?.();
        work().then(
          (value) => reply(() => resolve(value)),
          (error: unknown) => reply(() => reject(error as Error)),
        );
      };
      this.#push({ deliver: request, ...(arrived === undefined ? {} : { lose: arrived }) });
    });
  }

  #push(message: Message): void {
    if (this.#isOpen) message.deliver();
    else this.messages.push(message);
  }
}
