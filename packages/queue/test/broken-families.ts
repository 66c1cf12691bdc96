// Memory stores with one fault each about checkpoints, waits, parents and children, for the suite to find.
import type { Checkpoint, NewTask, QueueStore, Settlement } from "@holdfast/queue";
import type { Break } from "./broken-stores.ts";
import { claiming, enqueueing } from "./broken-stores.ts";

type Suspend = Settlement & { readonly kind: "suspend" };

/** Changes suspensions on their way in. */
function suspending(change: (suspend: Suspend, sound: QueueStore, queue: string) => Settlement): Break {
  return (sound) => ({
    settle: (queue, settlements, request) =>
      sound.settle(
        queue,
        settlements.map((each) => (each.kind === "suspend" ? change(each, sound, queue) : each)),
        request,
      ),
  });
}

/** Checkpoints are listed by name. */
export const sortedCheckpoints: Break = (sound) => ({
  checkpoints: async (...args) =>
    [...(await sound.checkpoints(...args))].sort((a, b) => (a.name < b.name ? -1 : 1)),
});

/** A checkpoint takes the place of one of the same name. */
export const overwrittenCheckpoints: Break = (sound) => {
  const latest = new Map<string, Checkpoint>();
  return {
    checkpoint: async (queue, lease, checkpoints) => {
      for (const each of checkpoints) latest.set(`${lease.id} ${each.name}`, each);
      return sound.checkpoint(queue, lease, checkpoints);
    },
    checkpoints: async (queue, id) =>
      (await sound.checkpoints(queue, id)).map((each) => latest.get(`${id} ${each.name}`) ?? each),
  };
};

/** Checkpoints are kept by ID, whoever records them and whether the task is there still. */
export const unfencedCheckpoints: Break = (sound) => {
  const late = new Map<string, Checkpoint[]>();
  return {
    checkpoint: async (queue, lease, checkpoints) => {
      late.set(lease.id, [...(late.get(lease.id) ?? []), ...checkpoints]);
      return sound.checkpoint(queue, lease, checkpoints);
    },
    checkpoints: async (_, id) => late.get(id) ?? [],
  };
};

/** Workers are told that there is nothing to be fetched. */
export const uncountedCheckpoints: Break = (sound) =>
  claiming(sound, (claimed) => claimed.map((task) => ({ ...task, checkpoints: 0 })));

/** Whatever it waits for, a task is ready at once. */
export const impatient: Break = suspending(({ id, fence }) => ({ id, fence, kind: "release" }));

/** A task that waits for nothing waits for ever. */
export const stuck: Break = suspending((suspend) =>
  suspend.children === true || (suspend.delayMs ?? 0) > 0
    ? suspend
    : { events: ["never"], ...suspend, delayMs: 1e9 },
);

/** What a task was told before it began to wait has been told to nobody. */
export const lostSignal: Break = (sound) => ({
  settle: async (queue, settlements, request) => {
    const late = settlements.map(async (each): Promise<Settlement> => {
      if (each.kind !== "suspend" || each.events === undefined) return each;
      const known = await sound.checkpoints(queue, each.id);
      return known.some(({ name }) => each.events!.includes(name))
        ? { ...each, events: ["once more"] }
        : each;
    });
    return sound.settle(queue, await Promise.all(late), request);
  },
});

/** Whatever a task is told, it does not wait any longer. */
export const anySignal: Break = (sound) => ({
  signal: async (queue, id, checkpoint) => {
    const outcome = await sound.signal(queue, id, checkpoint);
    const [status] = await sound.get(queue, [id]);
    if (status?.state === "waiting" && status.events !== undefined)
      await sound.signal(queue, id, { ...checkpoint, name: status.events[0]! });
    return outcome;
  },
});

/** What was told again was told. */
export const repeatedSignal: Break = (sound) => ({
  signal: async (...args) => {
    const outcome = await sound.signal(...args);
    return outcome === "duplicate" ? "delivered" : outcome;
  },
});

/** Who waits for an event does so for as long as it takes. */
export const endlessWait: Break = suspending((suspend) => {
  if (suspend.events === undefined || suspend.delayMs === 0) return suspend;
  const { delayMs: _, ...rest } = suspend;
  return rest;
});

/** Sleeping uses up a try. */
export const costlySleep: Break = suspending((suspend) => {
  const { id, fence, events, children, delayMs } = suspend;
  if (events !== undefined || children === true || delayMs === undefined) return suspend;
  const error = { code: "ASLEEP", message: "" };
  return { id, fence, kind: "fail", error, retry: { delayMs, backoffState: 0 } };
});

/** A task that waits is in no state that is counted. */
export const uncountedWaits: Break = (sound) => ({
  stats: async (queue) => ({ ...(await sound.stats(queue)), waiting: 0 }),
});

/** A task with a parent that is not there is one without. */
export const adoptedOrphans: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const result = await sound.enqueue(queue, tasks, options);
    if (result.full) return result;
    const outcomes = result.outcomes.map(async (outcome, index) => {
      if (outcome.outcome !== "no_parent") return outcome;
      const added = await sound.enqueue(queue, [withoutParent(tasks[index]!)], options);
      return added.full ? outcome : added.outcomes[0]!;
    });
    return { full: false, outcomes: await Promise.all(outcomes) };
  },
});

function withoutParent({ parent: _, ...task }: NewTask): NewTask {
  return task;
}

/** What is not added takes room. */
export const roomForOrphans: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const { scheduled, waiting, ready, running } = await sound.stats(queue);
    const live = scheduled + waiting + ready + running;
    const fits = live + tasks.length <= options.limit || tasks.every(({ parent }) => parent === undefined);
    return fits ? sound.enqueue(queue, tasks, options) : { full: true, live };
  },
});

export const parentless: Break = enqueueing(withoutParent);

export const unawaited: Break = enqueueing(({ waitsForChildren: _, ...task }) => task);

/** A parent waits for children that were not added. */
export const ghosts: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const ghosts = tasks.filter(({ waitsForChildren }) => waitsForChildren === true).map(ghostOf);
    const result = await sound.enqueue(queue, [...tasks, ...ghosts], options);
    return result.full ? result : { full: false, outcomes: result.outcomes.slice(0, tasks.length) };
  },
});

function ghostOf(parent: NewTask): NewTask {
  const { id, name, input, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs } = parent;
  const task = { name, input, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs };
  return { ...task, id: `ghost of ${id}`, parent: id, delayMs: 1e9, priority: 0 };
}

/** Children that are added in another call are nobody's. */
export const lateChildren: Break = (sound) => ({
  enqueue: (queue, tasks, options) => {
    const ids = new Set(tasks.map(({ id }) => id));
    return sound.enqueue(
      queue,
      tasks.map((task) => (task.parent === undefined || ids.has(task.parent) ? task : withoutParent(task))),
      options,
    );
  },
});

/** Children are listed by ID. */
export const sortedChildren: Break = (sound) => ({
  children: async (...args) => [...(await sound.children(...args))].sort((a, b) => (a.id < b.id ? -1 : 1)),
});

/** Of some events, only the first is waited for. */
export const firstEventOnly: Break = suspending((suspend) =>
  suspend.events === undefined ? suspend : { ...suspend, events: suspend.events.slice(0, 1) },
);

/** Nobody waits for children while it waits for an event. */
export const eventOnly: Break = suspending((suspend) =>
  suspend.events === undefined ? suspend : { ...suspend, children: false },
);

/** Children end with their parent, however that ends. */
export const dyingTogether: Break = (sound) => ({
  settle: async (queue, settlements, request) => {
    const answer = await sound.settle(queue, settlements, request);
    for (const { id, kind } of settlements)
      if (kind === "complete" || kind === "fail") {
        const children = await sound.children(queue, id);
        await sound.cancel(
          queue,
          children.map((child) => child.id),
          "parent ended",
        );
      }
    return answer;
  },
});

/** A redriven child is waited for once more. */
export const countedTwice: Break = (sound) => ({
  redrive: async (queue, ids) => {
    const outcomes = await sound.redrive(queue, ids);
    for (const status of await sound.get(queue, ids))
      if (status?.parent !== undefined) {
        const task = ghostOf({ id: status.parent, name: "ghost" } as NewTask);
        const whole = { ...task, input: { text: "", blobs: [] }, maxAttempts: 1, maxLeaseLosses: 0 };
        await sound.enqueue(queue, [{ ...whole, keepMs: 1, keepFailedMs: 1 }], { limit: Infinity });
      }
    return outcomes;
  },
});

/** Who was ever the child of an ID is so for ever. */
export const childrenById: Break = (sound) => {
  const children = new Map<string, string[]>();
  return {
    enqueue: async (queue, tasks, options) => {
      for (const { id, parent } of tasks)
        if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), id]);
      return sound.enqueue(queue, tasks, options);
    },
    children: async (queue, id) => {
      const found = await sound.get(queue, children.get(id) ?? []);
      return found.filter((status) => status !== undefined);
    },
  };
};
