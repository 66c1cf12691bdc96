// Those who wait for a task to end: each hears of it at once, whatever ends the task or the store (I14).
import { ensure } from "@holdfast/core/testing";
import type { QueueStore } from "../../store/store.ts";
import { hasEnded } from "../../task/task-status.ts";
import { QUEUE } from "./arbitraries.ts";
import type { ReferenceQueue } from "./reference-queue.ts";
import type { ReferenceTask } from "./reference-task.ts";

interface Follower {
  readonly id: string;
  /** None: there was no such task. */
  readonly entry: ReferenceTask | undefined;
  /** How it ended: with the state that was seen, `"forgotten"`, or an error. */
  settled: string | undefined;
}

/** Rounds in which messages may still be on their way. No time passes in them. */
const ROUNDS = 5;

export class Followers {
  #all: Follower[] = [];
  readonly #abort = new AbortController();

  /** @param settle - Lets everything happen that can happen without time. */
  constructor(
    private readonly store: () => QueueStore,
    private readonly settle: () => Promise<void>,
  ) {}

  begin(id: string, entry: ReferenceTask | undefined): void {
    const follower: Follower = { id, entry, settled: undefined };
    this.#all.push(follower);
    endOf(this.store(), id, this.#abort.signal).then(
      (state) => void (follower.settled = state),
      (error: unknown) => void (follower.settled = `an error: ${String(error)}`),
    );
  }

  /** Whoever waits for what has ended, or is forgotten, has heard of it, and nobody else has. */
  async hold(model: ReferenceQueue): Promise<void> {
    const [over, on] = [[] as Follower[], [] as Follower[]];
    for (const one of this.#all) (isOver(model, one.entry) ? over : on).push(one);
    await this.#settled(over);
    for (const { id, entry, settled } of over) {
      const expected = entry?.state ?? "forgotten";
      const isSo = settled === expected || settled === "forgotten";
      ensure(isSo, `I14: who waits for ${id} hears that it is ${expected}, not ${settled ?? "nothing"}`);
    }
    for (const { id, settled } of on)
      ensure(settled === undefined, `I14: who waits for ${id}, which is live, goes on waiting: ${settled}`);
    this.#all = on;
  }

  /** Once the store is closed all waits are over. */
  async closed(): Promise<void> {
    const all = this.#all;
    this.#all = [];
    await this.#settled(all);
    for (const { id, settled } of all)
      ensure(settled !== undefined, `I14: who waits for ${id} is told that the store has closed`);
  }

  /** Ends what is left. */
  end(): void {
    this.#abort.abort();
  }

  async #settled(followers: readonly Follower[]): Promise<void> {
    for (let round = 0; round < ROUNDS && followers.some(({ settled }) => settled === undefined); round += 1)
      await this.settle();
  }
}

function isOver(model: ReferenceQueue, entry: ReferenceTask | undefined): boolean {
  return entry === undefined || hasEnded(entry) || !model.tasks.includes(entry);
}

/** As queues follow tasks: look, then wait for what comes after that. */
async function endOf(store: QueueStore, id: string, signal: AbortSignal): Promise<string> {
  for (;;) {
    const [status] = await store.get(QUEUE, [id]);
    if (status === undefined) return "forgotten";
    if (hasEnded(status)) return status.state;
    await store.waitForEvents(QUEUE, id, status.lastSeq, signal);
  }
}
