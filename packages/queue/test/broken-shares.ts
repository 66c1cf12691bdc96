// Memory stores with one fault each about whose turn it is: tenants, groups, expiry.
import type { GroupLimit, NewTask } from "@holdfast/queue";
import { EXPIRED, hasEnded } from "@holdfast/queue";
import type { Break } from "./broken-stores.ts";
import { enqueueing } from "./broken-stores.ts";

export const tenantless: Break = enqueueing(({ tenant: _, ...task }) => task);

export const weightless: Break = enqueueing(({ weight: _, ...task }) => task);

/** Tenants have turns only for tasks that are ready. */
export const turnsOfTheReady: Break = enqueueing(({ tenant, ...task }) =>
  tenant === undefined || task.delayMs > 0 ? task : { ...task, tenant },
);

/** Tasks without a tenant have each one of their own. */
export const manyNobodies: Break = enqueueing((task) => ({ tenant: `nobody ${task.id}`, ...task }));

/** A tenant whose tasks have all ended is a new one when it comes back. */
export const forgottenTenants: Break = (sound) => {
  const tenants = new Map<string, { life: number; ids: string[] }>();
  return {
    enqueue: async (queue, tasks, options) => {
      const disguised: NewTask[] = [];
      for (const task of tasks) {
        const { tenant = "" } = task;
        const known = tenants.get(tenant) ?? { life: 0, ids: [] };
        tenants.set(tenant, known);
        const found = await sound.get(queue, known.ids);
        if (!found.some((status) => status !== undefined && !hasEnded(status)) && known.ids.length > 0)
          Object.assign(known, { life: known.life + 1, ids: [] });
        disguised.push({ ...task, tenant: `${tenant}:${known.life}` });
      }
      for (const { id, tenant = "" } of tasks) tenants.get(tenant)!.ids.push(id);
      return sound.enqueue(queue, disguised, options);
    },
  };
};

/** A queue never has nothing to do: its turns are never forgotten. */
export const eternalTurns: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const [task] = tasks;
    if (task !== undefined)
      await sound.enqueue(queue, [{ ...bare(task), id: "eternal", delayMs: 1e12 }], { limit: Infinity });
    return sound.enqueue(queue, tasks, options);
  },
});

function bare({
  name,
  input,
  maxAttempts,
  maxLeaseLosses,
  keepMs,
  keepFailedMs,
}: NewTask): Omit<NewTask, "id"> {
  return { name, input, delayMs: 0, priority: -1_000, maxAttempts, maxLeaseLosses, keepMs, keepFailedMs };
}

/** Changes what is said about groups. */
function limiting(change: (limit: GroupLimit) => GroupLimit): Break {
  return enqueueing((task) =>
    task.groupLimit === undefined ? task : { ...task, groupLimit: change(task.groupLimit) },
  );
}

export const oneAtATime: Break = limiting((limit) => ({ ...limit, concurrency: 1 }));

export const unlimitedRate: Break = limiting(({ concurrency }) => ({ concurrency }));

/** The time from one start to the next is a whole number of milliseconds. */
export const roundedRate: Break = limiting(({ concurrency, rate }) => {
  if (rate === undefined) return { concurrency };
  const perMs = Math.floor(rate.perMs / rate.tasks) * rate.tasks;
  return { concurrency, rate: { tasks: rate.tasks, perMs } };
});

/** A bucket holds twice as many tokens. */
export const largeBucket: Break = limiting(({ concurrency, rate }) => {
  if (rate === undefined) return { concurrency };
  return { concurrency, rate: { tasks: 2 * rate.tasks, perMs: 2 * rate.perMs } };
});

/** In a group, first come is first served. */
export const groupsWithoutPriority: Break = enqueueing((task) =>
  task.group === undefined ? task : { ...task, priority: 0 },
);

/** A delayed task has no place in its group. */
export const placeless: Break = enqueueing((task) => {
  const { group: _, ...rest } = task;
  return task.delayMs > 0 ? rest : task;
});

/** The limit that was said first counts, as long as the store lives. */
export const firstLimit: Break = (sound, clock) => {
  const limits = new Map<string, GroupLimit>();
  return enqueueing((task) => {
    const { group, groupLimit } = task;
    if (group === undefined) return task;
    if (groupLimit !== undefined && !limits.has(group)) limits.set(group, groupLimit);
    const limit = limits.get(group);
    return limit === undefined ? task : { ...task, groupLimit: limit };
  })(sound, clock);
};

/** Of all that one call says of a group, only what it says last counts. */
export const lastWord: Break = (sound) => ({
  enqueue: (queue, tasks, options) => {
    const last = new Map(tasks.map((task) => [task.groupLimit && task.group, task]));
    const heard = tasks.map((task) => {
      const { groupLimit: _, ...rest } = task;
      return last.get(task.group) === task ? task : rest;
    });
    return sound.enqueue(queue, heard, options);
  },
});

/** What is said with a task counts also if it is not added. */
export const hearsay: Break = (sound) => ({
  enqueue: async (queue, tasks, options) => {
    const result = await sound.enqueue(queue, tasks, options);
    for (const [index, task] of tasks.entries()) {
      const { group, groupLimit } = task;
      const isAdded = result.full || result.outcomes[index]!.outcome === "enqueued";
      if (isAdded || group === undefined || groupLimit === undefined) continue;
      const ghost = { ...bare(task), id: `ghost of ${task.id}`, delayMs: 1e9, group, groupLimit };
      await sound.enqueue(queue, [ghost], { limit: Infinity });
    }
    return result;
  },
});

export const immortal: Break = enqueueing(({ expireMs: _, ...task }) => task);

/** Tasks expire a millisecond late. */
export const lateExpiry: Break = enqueueing((task) =>
  task.expireMs === undefined ? task : { ...task, expireMs: task.expireMs + 1 },
);

/** What is not ready does not expire. */
export const sleepersDoNotExpire: Break = enqueueing((task) => {
  const { expireMs: _, ...rest } = task;
  return task.delayMs > 0 || task.waitsForChildren === true ? rest : task;
});

/** A task that expires is delayed until then. */
export const delayedByExpiry: Break = enqueueing((task) =>
  task.expireMs === undefined || task.delayMs === 0 ? task : { ...task, delayMs: task.expireMs },
);

/** A task expires also if it was started and came back. */
export const lateVictims: Break = (sound, clock) => {
  const ends = new Map<string, number>();
  const expire = async (queue: string): Promise<void> => {
    const late = [...ends].filter(([, at]) => at <= clock.now()).map(([id]) => id);
    const found = await sound.get(queue, late);
    const idle = found.filter((status) => status !== undefined && status.state !== "running");
    await sound.cancel(
      queue,
      idle.map((status) => status!.id),
      EXPIRED,
    );
  };
  return {
    enqueue: (queue, tasks, options) => {
      for (const { id, expireMs } of tasks) if (expireMs !== undefined) ends.set(id, clock.now() + expireMs);
      return sound.enqueue(queue, tasks, options);
    },
    get: async (queue, ids) => {
      await expire(queue);
      return sound.get(queue, ids);
    },
  };
};
