// One clause on trial: a fresh store, one queue, and short words for what is asked of it.
import { ensure, present, same } from "@holdfast/core/testing";
import type {
  ClaimedTask,
  ClaimRequest,
  EnqueueOutcome,
  EventPage,
  LeaseRef,
  NewTask,
  QueueStore,
  Settlement,
  SignalOutcome,
  TaskReport,
  WriteOutcome,
} from "../store/store.ts";
import type { Payload } from "../task/payload.ts";
import type { TaskState, TaskStatus } from "../task/task-status.ts";

/** What the suite is run on. */
export interface QueueStoreSubject {
  /** A store of its own for each test, without tasks. The suite closes it. */
  readonly make: () => QueueStore | Promise<QueueStore>;
  /**
   * Lets this many milliseconds pass on the clock of the store made last, no more and no less, and whatever is due by
   * then happen.
   */
  readonly advance: (ms: number) => Promise<void>;
}

/** What the model's histories are run on. */
export interface QueueModelSubject extends QueueStoreSubject {
  /**
   * Ends the process, as it were, of the store made last, and opens it again: leases are lost at once and waits have
   * ended, all else is as it was. Given, histories restart now and then.
   */
  readonly restart?: () => QueueStore | Promise<QueueStore>;
  /** Called when a history is over and its store closed. */
  readonly end?: () => void | Promise<void>;
}

/** A rule of the contract, and what shows that a store keeps it: it throws if not. */
export interface Clause {
  readonly title: string;
  readonly check: (trial: Trial) => Promise<void>;
}

/** What a suspended task waits for. */
export interface Suspension {
  readonly events?: readonly string[];
  readonly children?: boolean;
  readonly delayMs?: number;
}

/** How long leases last unless a clause says otherwise, in milliseconds. */
export const LEASE_MS = 10_000;
export const KEEP_MS = 3_600_000;
export const KEEP_FAILED_MS = 7_200_000;
/** What a failed try says of itself. */
export const BROKEN: { readonly code: string; readonly message: string } = {
  code: "BROKEN",
  message: "it broke",
};
export const WRITTEN: WriteOutcome = { written: true };
export const LOST: WriteOutcome = { written: false, cause: "lease_lost" };

const WORKER = "worker-1";
/** Milliseconds in which a wait that is to end must end, on the store's clock. */
const PATIENCE_MS = 200;

export class Trial {
  readonly queue = "trial";
  readonly store: QueueStore;
  #made = 0;

  constructor(
    store: QueueStore,
    readonly advance: (ms: number) => Promise<void>,
  ) {
    this.store = withCallsLeftBehind(store);
  }

  task(given: Partial<NewTask> = {}): NewTask {
    this.#made += 1;
    const id = given.id ?? `task-${this.#made}`;
    return {
      id,
      name: "work",
      input: json(id),
      delayMs: 0,
      priority: 0,
      maxAttempts: 3,
      maxLeaseLosses: 5,
      keepMs: KEEP_MS,
      keepFailedMs: KEEP_FAILED_MS,
      ...given,
    };
  }

  async enqueue(...tasks: readonly NewTask[]): Promise<readonly EnqueueOutcome[]> {
    const result = await this.store.enqueue(this.queue, tasks, { limit: 1_000_000 });
    ensure(!result.full, "a queue far below its limit is full");
    return result.outcomes;
  }

  /** Adds one task; answers its ID. */
  async add(given: Partial<NewTask> = {}): Promise<string> {
    const task = this.task(given);
    const outcomes = await this.enqueue(task);
    same(outcomes, [{ outcome: "enqueued", id: task.id }], "the outcome of a new task");
    return task.id;
  }

  claim(max: number = 1, request: Partial<ClaimRequest> = {}): Promise<readonly ClaimedTask[]> {
    return this.store.claim(this.queue, { worker: WORKER, leaseMs: LEASE_MS, ...request, max });
  }

  async claimOne(request: Partial<ClaimRequest> = {}): Promise<ClaimedTask> {
    const claimed = await this.claim(1, request);
    ensure(claimed.length === 1, `one task was to be claimed, not ${claimed.length}`);
    return claimed[0]!;
  }

  async claimIds(max: number = 100): Promise<readonly string[]> {
    return (await this.claim(max)).map(({ id }) => id);
  }

  async settle(...settlements: readonly Settlement[]): Promise<readonly WriteOutcome[]> {
    return (await this.store.settle(this.queue, settlements)).outcomes;
  }

  /** The outcome of ending one lease. */
  async end(settlement: Settlement): Promise<WriteOutcome> {
    const outcomes = await this.settle(settlement);
    return present(outcomes[0], "the outcome of a settlement");
  }

  async renew({ id, fence }: LeaseRef, leaseMs: number = LEASE_MS): Promise<WriteOutcome> {
    const outcomes = await this.store.renew(this.queue, [{ id, fence }], leaseMs);
    return present(outcomes[0], "the outcome of a renewal");
  }

  async report({ id, fence }: LeaseRef, ...reports: readonly TaskReport[]): Promise<WriteOutcome> {
    const outcomes = await this.store.report(this.queue, [{ id, fence, reports }]);
    return present(outcomes[0], "the outcome of a report");
  }

  /** Records checkpoints whose values are their names. */
  checkpoint({ id, fence }: LeaseRef, ...names: readonly string[]): Promise<WriteOutcome> {
    const checkpoints = names.map((name) => ({ name, value: json(name) }));
    return this.store.checkpoint(this.queue, { id, fence }, checkpoints);
  }

  async checkpointNames(id: string): Promise<readonly string[]> {
    return (await this.store.checkpoints(this.queue, id)).map(({ name }) => name);
  }

  signal(id: string, name: string, value: unknown = name): Promise<SignalOutcome> {
    return this.store.signal(this.queue, id, { name, value: json(value) });
  }

  async childIds(id: string): Promise<readonly string[]> {
    return (await this.store.children(this.queue, id)).map((child) => child.id);
  }

  /** Adds a task, claims it and completes it. */
  async complete(given: Partial<NewTask> = {}, value: unknown = "done"): Promise<string> {
    const id = await this.add(given);
    same(await this.end(completed(await this.claimOne(), value)), WRITTEN, "completing a held task");
    return id;
  }

  /** Adds a task, claims it and fails it for good. */
  async fail(given: Partial<NewTask> = {}): Promise<string> {
    const id = await this.add(given);
    same(await this.end(failed(await this.claimOne())), WRITTEN, "failing a held task");
    return id;
  }

  async find(id: string): Promise<TaskStatus | undefined> {
    const found = await this.store.get(this.queue, [id]);
    ensure(found.length === 1, "get() is to answer once for each ID");
    return found[0];
  }

  async status(id: string): Promise<TaskStatus> {
    return present(await this.find(id), `the status of ${id}`);
  }

  async expectState(id: string, state: TaskState): Promise<void> {
    same((await this.find(id))?.state, state, `the state of ${id}`);
  }

  async page(id: string, after: number = 0, max: number = 100): Promise<EventPage> {
    return present(await this.store.events(this.queue, id, after, max), `the events of ${id}`);
  }

  /** The types of a task's events. */
  async happened(id: string): Promise<readonly string[]> {
    return (await this.page(id)).events.map(({ type }) => type);
  }

  cancel(...ids: readonly string[]): Promise<readonly string[]> {
    return this.store.cancel(this.queue, ids, "not wanted");
  }

  async deadLetterIds(max: number = 100, after?: string): Promise<readonly string[]> {
    const page = after === undefined ? { max } : { max, after };
    return (await this.store.deadLetters(this.queue, page)).map(({ id }) => id);
  }

  /** What a wait resolves with. @throws ConformanceError when it goes on. */
  async ends<T>(wait: Promise<T>, what: string): Promise<T> {
    const state = watched(wait);
    for (let ms = 0; !state.isSettled && ms < PATIENCE_MS; ms += 1) await this.advance(1);
    ensure(state.isSettled, `${what}: it goes on waiting`);
    return wait;
  }

  /** @throws ConformanceError when the wait ends. */
  async goesOn(wait: Promise<unknown>, what: string): Promise<void> {
    const state = watched(wait);
    await this.advance(PATIENCE_MS);
    ensure(!state.isSettled, `${what}: it has ended`);
  }
}

export function json(value: unknown): Payload {
  return { text: JSON.stringify(value), blobs: [] };
}

export function completed({ id, fence }: LeaseRef, value: unknown = "done"): Settlement {
  return { id, fence, kind: "complete", result: json(value) };
}

/** Fails a try: for good, or to be tried again after `delayMs`. */
export function failed({ id, fence }: LeaseRef, delayMs?: number, backoffState: number = 0): Settlement {
  const settlement = { id, fence, kind: "fail", error: BROKEN } as const;
  return delayMs === undefined ? settlement : { ...settlement, retry: { delayMs, backoffState } };
}

export function released({ id, fence }: LeaseRef): Settlement {
  return { id, fence, kind: "release" };
}

/** Gives a task back until something happens. */
export function suspended({ id, fence }: LeaseRef, until: Suspension = {}): Settlement {
  return { id, fence, kind: "suspend", ...until };
}

function watched(wait: Promise<unknown>): { readonly isSettled: boolean } {
  const state = { isSettled: false };
  const onSettled = (): void => {
    state.isSettled = true;
  };
  wait.then(onSettled, onSettled);
  return state;
}

/** A clause that fails may leave calls behind: what they reject with once the store is closed is nobody's. */
function withCallsLeftBehind(store: QueueStore): QueueStore {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...words: readonly unknown[]): unknown => {
        const answer: unknown = Reflect.apply(member, target, words);
        if (answer instanceof Promise) answer.catch(() => {});
        return answer;
      };
    },
  });
}
