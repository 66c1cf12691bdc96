// Knows when nothing is left to do for a run but to wait, and gives its slot back then.
import type { Timer } from "@holdfast/core";
import { MAX_DURATION_MS } from "@holdfast/core";
import { STEP_LIMITS } from "./step-contract.ts";
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

/** What ends all waits before their time. */
interface Limit extends Pick<Wait, "event" | "dueAt"> {
  readonly timer: Timer | undefined;
}

interface Parked extends Wait {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
  readonly timer: Timer | undefined;
}

export class StepWaits {
  #active = 0;
  readonly #parked = new Set<Parked>();
  readonly #limits = new Set<Limit>();
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
    if (!("wait" in reached)) return reached.value;
    if (this.host.isOver) this.host.stayBehind();
    return reached.wait;
  }

  /**
   * Waits. Resolves when it is due, if the run is still there; when something else has ended the wait, the task comes
   * back in another run. Rejects when the run is told to stop.
   */
  park(wait: Wait): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.host.isOver) return;
      const over = (): void => {
        this.#parked.delete(parked);
        this.#lookSoon();
        resolve();
      };
      const timer = wait.dueAt === undefined ? undefined : this.#timer(wait.dueAt, over);
      const parked: Parked = { ...wait, resolve, reject, timer };
      this.#parked.add(parked);
      this.#lookSoon();
    });
  }

  /** Lets no wait go on when this is due or this event comes, until the answer is called. */
  limit(until: Pick<Wait, "event" | "dueAt">, onDue: () => void): () => void {
    const timer = until.dueAt === undefined ? undefined : this.#timer(until.dueAt, onDue);
    const limit = { ...until, timer };
    this.#limits.add(limit);
    return () => {
      timer?.cancel();
      this.#limits.delete(limit);
    };
  }

  /** Resolves when no step is running: each has come to something. */
  idle(): Promise<void> {
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Ends all waits: with a reason for the handler, or silently when there is nobody to hear it. */
  end(reason?: Error): void {
    this.#look?.cancel();
    if (reason === undefined && this.#parked.size > 0) this.host.stayBehind();
    for (const { timer, reject } of this.#parked) {
      timer?.cancel();
      if (reason !== undefined) reject(reason);
    }
    this.#parked.clear();
    for (const { timer } of this.#limits) timer?.cancel();
    this.#limits.clear();
  }

  #timer(dueAt: number, onDue: () => void): Timer {
    const { clock } = this.host.queue;
    return clock.setTimer(Math.min(MAX_DURATION_MS, Math.max(0, dueAt - clock.now())), onDue);
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
    const all: readonly Wait[] = [...this.#parked, ...this.#limits];
    const dueAt = Math.min(...all.map((wait) => wait.dueAt ?? Infinity));
    const dueMs = Math.max(0, Math.ceil(dueAt - queue.clock.now()));
    // Its timer wakes it.
    if (dueMs <= Math.min(STEP_LIMITS.stayMs, remainingMs / 2)) return;
    this.host.suspend(suspensionOf(all, dueMs));
  }
}

function suspensionOf(waits: readonly Wait[], delayMs: number): Suspension {
  const events = new Set(waits.map(({ event }) => event).filter((event) => event !== undefined));
  return {
    ...(events.size === 0 ? {} : { events: [...events] }),
    ...(waits.some(({ children }) => children === true) ? { children: true } : {}),
    ...(delayMs === Infinity ? {} : { delayMs }),
  };
}
