// Memory stores with one fault each, for the suite to find.
import type {
  ClaimedTask,
  ClaimRequest,
  NewTask,
  Payload,
  QueueStore,
  Settlement,
  WriteOutcome,
} from "@holdfast/queue";
import { hasEnded, memoryStore } from "@holdfast/queue";
import type { ManualClock } from "@holdfast/core/testing";

/** Breaks a sound store: what it answers takes the place of the store's own methods. */
export type Break = (sound: QueueStore, clock: ManualClock) => Partial<QueueStore>;

export function brokenStore(clock: ManualClock, breakIt: Break): QueueStore {
  const sound = memoryStore({ clock });
  const broken = breakIt(sound, clock);
  return new Proxy(sound, {
    get(target, key: keyof QueueStore) {
      const own = broken[key] ?? target[key];
      return typeof own === "function" ? own.bind(broken[key] === undefined ? target : broken) : own;
    },
  });
}

/** Hears of every claim, and may change it. */
export function claiming(
  sound: QueueStore,
  change: (claimed: readonly ClaimedTask[]) => readonly ClaimedTask[],
  ask: (request: ClaimRequest) => ClaimRequest = (request) => request,
): Pick<QueueStore, "claim" | "settle"> {
  return {
    claim: async (queue, request) => change(await sound.claim(queue, ask(request))),
    settle: async (queue, settlements, request) => {
      const answer = await sound.settle(queue, settlements, request && ask(request));
      return { ...answer, claimed: change(answer.claimed) };
    },
  };
}

/** Progress is written by whoever knows the ID. */
export const unfencedReports: Break = (sound) => {
  const fences = new Map<string, number>();
  const remember = (claimed: readonly ClaimedTask[]): readonly ClaimedTask[] => {
    for (const { id, fence } of claimed) fences.set(id, fence);
    return claimed;
  };
  return {
    ...claiming(sound, remember),
    report: (queue, requests) =>
      sound.report(
        queue,
        requests.map((request) => ({ ...request, fence: fences.get(request.id) ?? request.fence })),
      ),
  };
};

/** The fence is the attempt, which a lost lease and a redrive repeat. */
export const attemptAsFence: Break = (sound) => {
  const held = new Map<string, { readonly attempt: number; readonly fence: number }>();
  const real = <T extends { readonly id: string; readonly fence: number }>(lease: T): T => {
    const known = held.get(lease.id);
    return known?.attempt === lease.fence ? { ...lease, fence: known.fence } : lease;
  };
  const disguised = (claimed: readonly ClaimedTask[]): readonly ClaimedTask[] =>
    claimed.map((task) => {
      held.set(task.id, task);
      return { ...task, fence: task.attempt };
    });
  return {
    claim: async (queue, request) => disguised(await sound.claim(queue, request)),
    settle: async (queue, settlements, request) => {
      const answer = await sound.settle(queue, settlements.map(real<Settlement>), request);
      return { ...answer, claimed: disguised(answer.claimed) };
    },
    renew: (queue, leases, leaseMs) => sound.renew(queue, leases.map(real), leaseMs),
    report: (queue, requests) => sound.report(queue, requests.map(real)),
  };
};

/** Two who ask at the same time get the same tasks. */
export const doubleClaim: Break = (sound) => {
  let inFlight: Promise<readonly ClaimedTask[]> | undefined;
  return {
    claim: (queue, request) => {
      inFlight ??= sound.claim(queue, request).finally(() => (inFlight = undefined));
      return inFlight;
    },
  };
};

/** Dedup keys are looked up first and written then: two at a time both find none. */
export const racyDedup: Break = (sound) => {
  const holders = new Map<string, string>();
  return {
    enqueue: async (queue, tasks, options) => {
      const found = await Promise.all(
        tasks.map(async ({ dedupKey }) => {
          const holder = dedupKey === undefined ? undefined : holders.get(dedupKey);
          const [status] = holder === undefined ? [] : await sound.get(queue, [holder]);
          return status === undefined || hasEnded(status) ? undefined : status.id;
        }),
      );
      const fresh = tasks.filter((_, index) => found[index] === undefined);
      const result = await sound.enqueue(queue, fresh.map(withoutKey), options);
      if (result.full) return result;
      for (const { id, dedupKey } of fresh) if (dedupKey !== undefined) holders.set(dedupKey, id);
      const added = result.outcomes.values();
      const outcomes = found.map((id) =>
        id === undefined ? added.next().value! : { outcome: "duplicate" as const, id },
      );
      return { full: false, outcomes };
    },
  };
};

function withoutKey({ dedupKey: _, ...task }: NewTask): NewTask {
  return task;
}

/** A dedup key is never free again. */
export const stuckDedup: Break = (sound) => {
  const holders = new Map<string, string>();
  return {
    enqueue: async (queue, tasks, options) => {
      const result = await sound.enqueue(queue, tasks, options);
      if (result.full) return result;
      const outcomes = tasks.map(({ id, dedupKey }, index) => {
        if (dedupKey === undefined) return result.outcomes[index]!;
        const holder = holders.get(dedupKey) ?? id;
        holders.set(dedupKey, holder);
        return holder === id ? result.outcomes[index]! : { outcome: "duplicate" as const, id: holder };
      });
      return { full: false, outcomes };
    },
  };
};

/** Work that came before the wait wakes nobody. */
export const lostWakeUp: Break = (sound) => {
  let wake = new AbortController();
  return {
    enqueue: async (...args) => {
      const result = await sound.enqueue(...args);
      wake.abort();
      wake = new AbortController();
      return result;
    },
    waitForWork: async (queue, signal) => {
      signal.throwIfAborted();
      const woken = wake.signal;
      await new Promise<void>((resolve, reject) => {
        woken.addEventListener("abort", () => resolve());
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
      await sound.stats(queue);
    },
  };
};

/** One of those who wait is woken, and may have left. */
export const wakesOne: Break = (sound) => {
  const waiting: (() => void)[] = [];
  return {
    enqueue: async (...args) => {
      const result = await sound.enqueue(...args);
      waiting.shift()?.();
      return result;
    },
    waitForWork: async (queue, signal) => {
      signal.throwIfAborted();
      if ((await sound.stats(queue)).ready > 0) return;
      await new Promise<void>((resolve, reject) => {
        waiting.push(resolve);
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
    },
  };
};

/** Every wait leaves its listener on the signal. */
export const leakyWaits: Break = (sound) => ({
  waitForEvents: async (queue, id, after, signal) => {
    signal.addEventListener("abort", () => {});
    await sound.waitForEvents(queue, id, after, signal);
  },
});

/** What a zombie completes is the result, whatever it was told. */
export const zombieResult: Break = (sound) => {
  const late = new Map<string, Payload>();
  return {
    settle: async (queue, settlements, request) => {
      const answer = await sound.settle(queue, settlements, request);
      for (const [index, settlement] of settlements.entries())
        if (settlement.kind === "complete" && !answer.outcomes[index]!.written)
          late.set(settlement.id, settlement.result);
      return answer;
    },
    result: async (queue, id) => late.get(id) ?? (await sound.result(queue, id)),
  };
};

/** A cancel overwrites the state a task has ended in. */
export const overwrittenEnd: Break = (sound) => {
  const reasons = new Map<string, string>();
  return {
    cancel: async (queue, ids, reason) => {
      const outcomes = await sound.cancel(queue, ids, reason);
      for (const [index, outcome] of outcomes.entries())
        if (outcome === "ended") reasons.set(ids[index]!, reason);
      return outcomes;
    },
    get: async (queue, ids) => {
      const found = await sound.get(queue, ids);
      return found.map((status) => {
        const reason = status === undefined ? undefined : reasons.get(status.id);
        if (status === undefined || reason === undefined || !hasEnded(status)) return status;
        return { ...status, state: "cancelled", finishedAt: 0, reason };
      });
    },
  };
};

/** Leases last a little longer, or shorter, than they say. */
export function leasesOffBy(ms: number): Break {
  return (sound) => ({
    ...claiming(
      sound,
      (claimed) => claimed,
      (request) => ({ ...request, leaseMs: request.leaseMs + ms }),
    ),
    renew: (queue, leases, leaseMs) => sound.renew(queue, leases, leaseMs + ms),
    get: async (queue, ids) => {
      const found = await sound.get(queue, ids);
      return found.map((status) =>
        status?.state === "running" ? { ...status, leaseEndsAt: status.leaseEndsAt - ms } : status,
      );
    },
  });
}

/** A cancelled worker is not told that it was cancelled. */
export const causeless: Break = (sound) => ({
  renew: async (...args) => (await sound.renew(...args)).map(plainRefusal),
  report: async (...args) => (await sound.report(...args)).map(plainRefusal),
});

function plainRefusal(outcome: WriteOutcome): WriteOutcome {
  return outcome.written ? outcome : { written: false, cause: "lease_lost" };
}

/** Changes new tasks on their way in. */
export function enqueueing(change: (task: NewTask) => NewTask): Break {
  return (sound) => ({
    enqueue: (queue, tasks, options) => sound.enqueue(queue, tasks.map(change), options),
  });
}

export const groupless: Break = enqueueing(({ group: _, ...task }) => task);

/** What does not fit is found out when it has been added. */
export const lateLimit: Break = (sound) => ({
  enqueue: async (queue, tasks, { limit }) => {
    const result = await sound.enqueue(queue, tasks, { limit: Infinity });
    const { scheduled, waiting, ready, running } = await sound.stats(queue);
    const live = scheduled + waiting + ready + running;
    return live > limit ? { full: true, live: live - tasks.length } : result;
  },
});

/** Giving a task back uses up a try. */
export const costlyRelease: Break = (sound) => ({
  settle: (queue, settlements, request) =>
    sound.settle(
      queue,
      settlements.map((settlement): Settlement => {
        if (settlement.kind !== "release") return settlement;
        const { id, fence } = settlement;
        const error = { code: "RELEASED", message: "" };
        return { id, fence, kind: "fail", error, retry: { delayMs: 0, backoffState: 0 } };
      }),
      request,
    ),
});

/** Claims first, settles then: what a settlement frees is not claimed. */
export const claimBeforeSettle: Break = (sound) => ({
  settle: async (queue, settlements, request) => {
    const claimed = request === undefined ? [] : await sound.claim(queue, request);
    return { outcomes: (await sound.settle(queue, settlements)).outcomes, claimed };
  },
});

/** The first page of an ended task's events says that it is the last. */
export const earlyEnd: Break = (sound) => ({
  events: async (queue, id, after, max) => {
    const [page, [status]] = [await sound.events(queue, id, after, max), await sound.get(queue, [id])];
    return page && { ...page, ended: status !== undefined && hasEnded(status) };
  },
});

/** A cancel that nobody waits for is told to nobody. */
export const forgottenRevocations: Break = (sound) => ({
  waitForRevoked: async (queue, worker, signal) => {
    const old = new AbortController();
    old.abort();
    const late = new AbortController();
    const first = sound.waitForRevoked(queue, worker, late.signal);
    late.abort();
    await first.catch(() => {});
    return sound.waitForRevoked(queue, worker, signal);
  },
});

/** The latest failure is listed first. */
export const newestFirst: Break = (sound) => ({
  deadLetters: async (queue, { max, after }) => {
    const all = (await sound.deadLetters(queue, { max: 10_000 })).toReversed();
    const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    return all.slice(from, from + max);
  },
});

/** Counts what was added, not what is there. */
export const staleCounts: Break = (sound) => {
  let discarded = 0;
  return {
    discard: async (queue, ids) => {
      const outcomes = await sound.discard(queue, ids);
      discarded += outcomes.filter(Boolean).length;
      return outcomes;
    },
    stats: async (queue) => {
      const counts = await sound.stats(queue);
      return { ...counts, completed: counts.completed + discarded };
    },
  };
};
