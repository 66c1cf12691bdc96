// Knows when nothing is left to do for a run but to wait, and gives its slot back then.
import type { Timer } from "@holdfast/core";
import { MAX_DURATION_MS } from "@holdfast/core";
import { STEP_LIMITS } from "./contract.ts";
import type { StepHost, Suspension } from "./step-host.ts";

/** What a step has come to: a value, or a wait for one. */
export type Reached<T> = { readonly value: T } | { readonly wait: Promise<T> };

/** What a wait waits for: whichever is first. */
export interface Wait {
  /** Name of a checkpoint. */
  readonly event?: string;
  readonly children?: boolean;
  /** Wall time in milliseconds since the epoch. */
  readonly dueAt?: number;
}

interface Parked extends Wait {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
  readonly timer: Timer | undefined;
}

export class StepWaits {
  #active = 0;
  readonly #parked = new Set<Parked>();
  readonly #limits = new Set<number>();
  #look: Timer | undefined;
  #onIdle: (() => void)[] = [];

  constructor(private readonly host: StepHost) {}

  /** Counts a step as running until it has come to something. */
  async tracked<T>(step: () => Promise<Reached<T>>): Promise<T> {
    this.#active += 1;
    let reached: Reached<T>;
    try {
      reached = await step();
    } finally {
      this.#active -= 1;
      this.#settled();
    }
    return "wait" in reached ? reached.wait : reached.value;
  }

  /**
   * Waits. Resolves when it is due, if the run is still there; when something else has ended the wait, the task comes
   * back in another run. Rejects when the run is told to stop.
   */
  park(wait: Wait): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.host.isOver) return;
      const { clock } = this.host.queue;
      const ms = Math.min(MAX_DURATION_MS, Math.max(0, (wait.dueAt ?? Infinity) - clock.now()));
      const over = (): void => {
        this.#parked.delete(parked);
        this.#lookSoon();
        resolve();
      };
      const timer = wait.dueAt === undefined ? undefined : clock.setTimer(ms, over);
      const parked: Parked = { ...wait, resolve, reject, timer };
      this.#parked.add(parked);
      this.#lookSoon();
    });
  }

  /** Lets no wait go on beyond a point in time, until the answer is called. */
  limit(dueAt: number): () => void {
    this.#limits.add(dueAt);
    return () => this.#limits.delete(dueAt);
  }

  /** Resolves when no step is running: each has come to something. */
  idle(): Promise<void> {
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Ends all waits: with a reason for the handler, or silently when there is nobody to hear it. */
  end(reason?: Error): void {
    this.#look?.cancel();
    for (const { timer, reject } of this.#parked) {
      timer?.cancel();
      if (reason !== undefined) reject(reason);
    }
    this.#parked.clear();
  }

  #settled(): void {
    if (this.#active > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
    this.#lookSoon();
  }

  /** A turn later: whoever has waited for a step may begin the next. */
  #lookSoon(): void {
    if (this.#parked.size === 0 || this.#look !== undefined || this.host.isOver) return;
    this.#look = this.host.queue.clock.setTimer(0, () => {
      this.#look = undefined;
      this.#suspendIfIdle();
    });
  }

  #suspendIfIdle(): void {
    const { isOver, reason, remainingMs, queue } = this.host;
    if (this.#active > 0 || this.#parked.size === 0 || isOver || reason !== undefined) return;
    const waits = [...this.#parked];
    const dueAt = Math.min(...this.#limits, ...waits.map((wait) => wait.dueAt ?? Infinity));
    const dueMs = Math.max(0, Math.ceil(dueAt - queue.clock.now()));
    // Its timer wakes it.
    if (dueMs <= Math.min(STEP_LIMITS.stayMs, remainingMs / 2)) return;
    this.host.suspend(suspensionOf(waits, dueMs));
  }
}

function suspensionOf(waits: readonly Wait[], dueMs: number): Suspension {
  const events = new Set(waits.map(({ event }) => event).filter((event) => event !== undefined));
  const [event] = events;
  // A store listens for one event: for the others we look now and then.
  const delayMs = events.size > 1 ? Math.min(dueMs, STEP_LIMITS.lookMs) : dueMs;
  return {
    ...(event === undefined ? {} : { event }),
    ...(waits.some(({ children }) => children === true) ? { children: true } : {}),
    ...(delayMs === Infinity ? {} : { delayMs }),
  };
}
