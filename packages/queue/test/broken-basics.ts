// Memory stores with one plain fault each: wrong answers to simple questions.
import type { ClaimRequest, NewTask, Payload, QueueStore, Settlement } from "@holdfast/queue";
import type { Break } from "./broken-stores.ts";
import { claiming, enqueueing } from "./broken-stores.ts";

/** Turns the answers of a verb round. */
function reversed(verb: "renew" | "redrive"): Break {
  return (sound) => ({
    [verb]: async (...args: Parameters<QueueStore[typeof verb]>) => {
      const answer = await (sound[verb] as (...given: typeof args) => Promise<readonly unknown[]>)(...args);
      return answer.toReversed();
    },
  });
}

export const reversedRenewals: Break = reversed("renew");
export const reversedRedrives: Break = reversed("redrive");

export const fullOfNothing: Break = (sound) => ({
  enqueue: async (queue, tasks, options) =>
    tasks.length === 0 ? { full: true, live: 0 } : sound.enqueue(queue, tasks, options),
});

const textOnly = ({ text }: Payload): Payload => ({ text, blobs: [] });

export const byteless: Break = enqueueing((task) => ({ ...task, input: textOnly(task.input) }));

/** A taken ID is named a duplicate, which names itself. */
export const misnamed: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const result = await sound.enqueue(queue, tasks, options);
    if (result.full) return result;
    const outcomes = result.outcomes.map(({ outcome }, index) => ({
      outcome: outcome === "exists" ? ("duplicate" as const) : outcome,
      id: tasks[index]!.id,
    }));
    return { full: false, outcomes };
  },
});

/** Looks at tasks when they are claimed, not when they are given. */
export const lazy: Break = (sound) => {
  const given: { readonly queue: string; readonly tasks: readonly NewTask[] }[] = [];
  return {
    enqueue: async (queue, tasks) => {
      given.push({ queue, tasks });
      return { full: false, outcomes: tasks.map(({ id }) => ({ outcome: "enqueued" as const, id })) };
    },
    claim: async (queue, request) => {
      for (const each of given.splice(0)) await sound.enqueue(each.queue, each.tasks, { limit: Infinity });
      return sound.claim(queue, request);
    },
  };
};

export const generous: Break = (sound) =>
  claiming(
    sound,
    (claimed) => claimed,
    (request) => ({ ...request, max: request.max + 1 }),
  );

/** A status says less than it should. */
export const tightLipped: Break = (sound) => ({
  get: async (...args) =>
    (await sound.get(...args)).map((status) => {
      if (status === undefined) return undefined;
      const { progress: _, ...rest } = status;
      return rest.state === "running" ? { ...rest, worker: "somebody" } : rest;
    }),
});

/** Changes settlements on their way in, and their outcomes on their way out. */
function settling(
  change: (settlements: readonly Settlement[]) => readonly Settlement[],
  answer: <T>(outcomes: readonly T[]) => readonly T[] = (outcomes) => outcomes,
): Break {
  return (sound) => ({
    settle: async (queue, settlements, request) => {
      const { outcomes, claimed } = await sound.settle(queue, change(settlements), request);
      return { outcomes: answer(outcomes), claimed };
    },
  });
}

export const resultless: Break = settling((settlements) =>
  settlements.map((each) => (each.kind === "complete" ? { ...each, result: { text: "", blobs: [] } } : each)),
);

/** Whatever fails is tried again. */
export const stubborn: Break = settling((settlements) =>
  settlements.map((each) =>
    each.kind === "fail" ? { ...each, retry: each.retry ?? { delayMs: 0, backoffState: 0 } } : each,
  ),
);

export const reversedOutcomes: Break = settling(
  (settlements) => settlements,
  (outcomes) => outcomes.toReversed(),
);

/** Says of every settlement that it was written. */
export const yesSayer: Break = (sound) => ({
  settle: async (...args) => {
    const { outcomes, claimed } = await sound.settle(...args);
    return { outcomes: outcomes.map(() => ({ written: true as const })), claimed };
  },
});

/** Claims only if all was written. */
export const offended: Break = (sound) => ({
  settle: async (queue, settlements, request) => {
    const { outcomes } = await sound.settle(queue, settlements);
    const all = outcomes.every(({ written }) => written);
    return { outcomes, claimed: all && request !== undefined ? await sound.claim(queue, request) : [] };
  },
});

/** Claims also if nobody asked. */
export const eager: Break = (sound) => ({
  settle: (queue, settlements, request: ClaimRequest = { worker: "?", max: 1, leaseMs: 10_000 }) =>
    sound.settle(queue, settlements, request),
});

export const unreasoned: Break = (sound) => ({
  cancel: (queue, ids) => sound.cancel(queue, ids, "cancelled"),
});

/** Tells workers again and again that there is nothing to tell. */
export const talkative: Break = () => ({ waitForRevoked: async () => [] });

/** Events are at their end when there are none. */
export const endOfPage: Break = (sound) => ({
  events: async (...args) => {
    const page = await sound.events(...args);
    return page && { ...page, ended: page.ended || page.events.length === 0 };
  },
});

/** What has ended once has ended for ever. */
export const endedForEver: Break = (sound) => {
  const redriven = new Set<string>();
  return {
    redrive: async (queue, ids) => {
      for (const id of ids) redriven.add(id);
      return sound.redrive(queue, ids);
    },
    events: async (queue, id, ...rest) => {
      const page = await sound.events(queue, id, ...rest);
      return page && { ...page, ended: page.ended || redriven.has(id) };
    },
  };
};

/** Does not wait for events. */
export const restlessEvents: Break = (sound) => ({
  waitForEvents: async (queue, _id, _after, signal) => {
    signal.throwIfAborted();
    await sound.stats(queue);
  },
});

/** Waits for the events of tasks that are not there. */
export const endlessEvents: Break = (sound) => ({
  waitForEvents: async (queue, id, after, signal) => {
    const [status] = await sound.get(queue, [id]);
    if (status !== undefined) return sound.waitForEvents(queue, id, after, signal);
    return new Promise<void>(() => {});
  },
});

export const keepsDiscarded: Break = (sound) => ({
  discard: async (queue, ids) =>
    (await sound.get(queue, ids)).map(
      (status) => status !== undefined && !["ready", "running"].includes(status.state),
    ),
});

/** A redriven task is never claimed. */
export const losesRedriven: Break = (sound) => {
  const redriven = new Set<string>();
  return {
    ...claiming(sound, (claimed) => claimed.filter(({ id }) => !redriven.has(id))),
    redrive: async (queue, ids) => {
      for (const id of ids) redriven.add(id);
      return sound.redrive(queue, ids);
    },
  };
};

export const closesOnce: Break = (sound) => {
  let isClosed = false;
  return {
    close: async () => {
      if (isClosed) throw new Error("closed");
      isClosed = true;
      await sound.close();
    },
  };
};
