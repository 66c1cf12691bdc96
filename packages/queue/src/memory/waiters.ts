// Who waits for what, by key. Waking nobody costs nothing.

export class Waiters {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Whether anybody waits. */
  get isWanted(): boolean {
    return this.#waiting.size > 0;
  }

  /** Wakes everybody who waits for `key`. */
  wake(key: string): void {
    if (this.#waiting.size === 0) return;
    const waiters = this.#waiting.get(key);
    if (waiters === undefined) return;
    this.#waiting.delete(key);
    for (const waiter of waiters) waiter();
  }

  wakeAll(): void {
    for (const key of this.#waiting.keys()) this.wake(key);
  }

  /** Resolves at the next wake-up of `key`; rejects with the reason of the signal, not aborted yet. */
  wait(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiting.get(key) ?? new Set();
      this.#waiting.set(key, waiters);
      const onWake = (): void => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        waiters.delete(onWake);
        if (waiters.size === 0 && this.#waiting.get(key) === waiters) this.#waiting.delete(key);
        reject(signal.reason as Error);
      };
      waiters.add(onWake);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
