// Who waits for what in this process, by key; and waits that look before they sleep.

/** A wake-up that says for sure that what was waited for is there; otherwise those who wait look again. */
export type WakeUp = "sure" | "maybe";

type Waiter = (wakeUp: WakeUp) => void;

/** What a look found, or `undefined` when there is nothing yet. */
type Look<T> = () => Promise<T | undefined>;

export class Wakeups {
  readonly #waiting = new Map<string, Set<Waiter>>();

  /** Whether anybody waits. */
  get isWanted(): boolean {
    return this.#waiting.size > 0;
  }

  wake(key: string, wakeUp: WakeUp): void {
    const waiters = this.#waiting.get(key);
    if (waiters === undefined) return;
    this.#waiting.delete(key);
    for (const waiter of waiters) waiter(wakeUp);
  }

  wakeAll(): void {
    for (const key of this.#waiting.keys()) this.wake(key, "maybe");
  }

  /**
   * Answers what `look` finds, or `undefined` after a sure wake-up. A wake-up that comes while it looks is not lost.
   * Rejects with what `look` does, or with the signal's reason.
   */
  async until<T>(key: string, signal: AbortSignal, look: Look<T>): Promise<T | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const wait = this.#open(key, signal);
      try {
        const found = await Promise.race([look(), wait.aborted]);
        if (found !== undefined) return found;
        if ((await wait.woken) === "sure") return undefined;
      } finally {
        wait.close();
      }
    }
  }

  #open(key: string, signal: AbortSignal): Wait {
    const waiters = this.#waiting.get(key) ?? new Set<Waiter>();
    this.#waiting.set(key, waiters);
    let onWake: Waiter = () => {};
    let onAbort = (): void => {};
    const woken = new Promise<WakeUp>((resolve, reject) => {
      onWake = resolve;
      onAbort = () => reject(signal.reason as Error);
    });
    woken.catch(() => {});
    waiters.add(onWake);
    signal.addEventListener("abort", onAbort, { once: true });
    return {
      woken,
      aborted: new Promise<never>((_, reject) => {
        woken.catch(reject);
      }),
      close: () => {
        signal.removeEventListener("abort", onAbort);
        waiters.delete(onWake);
        if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
      },
    };
  }
}

interface Wait {
  readonly woken: Promise<WakeUp>;
  /** Rejects when the signal aborts; never resolves. */
  readonly aborted: Promise<never>;
  readonly close: () => void;
}
