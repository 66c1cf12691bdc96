// Memory stores with one fault each about schedules, meters, lists and pauses.
import type { Break } from "./broken-stores.ts";

/** The schedule that is last is listed first. */
export const lastFirst: Break = (sound) => ({
  schedules: async (queue) => (await sound.schedules(queue)).toReversed(),
});

/** A schedule that says the same begins anew. */
export const restartedSchedules: Break = (sound) => ({
  setSchedule: async (queue, schedule) => {
    const known = await sound.schedules(queue);
    if (known.some(({ key }) => key === schedule.key)) await sound.removeSchedule(queue, schedule.key);
    return sound.setSchedule(queue, schedule);
  },
});

/** There is room for one schedule less. */
export const crampedSchedules: Break = (sound) => ({
  setSchedule: async (queue, schedule) => {
    const known = await sound.schedules(queue);
    const isNew = !known.some(({ key }) => key === schedule.key);
    return isNew && known.length >= 999 ? false : sound.setSchedule(queue, schedule);
  },
});

/** All who fire a schedule at a time have fired it. */
export const firedByAll: Break = (sound) => {
  let inFlight: ReturnType<typeof sound.fire> | undefined;
  return {
    fire: (...args) => {
      inFlight ??= sound.fire(...args).finally(() => (inFlight = undefined));
      return inFlight;
    },
  };
};

/** Whoever fires a schedule fires what is there under its key. */
export const firedByKey: Break = (sound) => ({
  fire: async (queue, schedule, ...rest) => {
    const known = (await sound.schedules(queue)).find(({ key }) => key === schedule.key);
    return sound.fire(queue, known ?? schedule, ...rest);
  },
});

/** What was fired fits. */
export const fireWithoutLimit: Break = (sound) => ({
  fire: (queue, schedule, nextAt, task) => sound.fire(queue, schedule, nextAt, task, { limit: Infinity }),
});

/** A schedule that found its task there already has not been fired. */
export const stuckSchedules: Break = (sound) => ({
  fire: async (queue, schedule, nextAt, task, options) => {
    const before = (await sound.meter(queue)).added;
    const outcome = await sound.fire(queue, schedule, nextAt, task, options);
    if (outcome !== "fired" || (await sound.meter(queue)).added > before) return outcome;
    await sound.removeSchedule(queue, schedule.key);
    await sound.setSchedule(queue, schedule);
    return "stale";
  },
});

/** What is forgotten has never been. */
export const forgetfulMeter: Break = (sound) => ({
  meter: async (queue) => {
    const [meter, stats] = [await sound.meter(queue), await sound.stats(queue)];
    const { completed, failed, cancelled } = stats;
    return { ...meter, completed, failed, cancelled };
  },
});

export const stoppedWatch: Break = (sound) => ({
  meter: async (queue) => ({ ...(await sound.meter(queue)), waitedMs: 0 }),
});

/** The head of a queue is what was added first of all that lives. */
export const oldestHead: Break = (sound) => ({
  meter: async (queue) => {
    const meter = await sound.meter(queue);
    const ready = await sound.list(queue, "ready", 100);
    if (ready.length === 0) return meter;
    return { ...meter, headAddedAt: Math.min(...ready.map(({ enqueuedAt }) => enqueuedAt)) };
  },
});

/** All tasks of a state are listed, however many were asked for. */
export const longLists: Break = (sound) => ({
  list: (queue, state) => sound.list(queue, state, 1_000_000),
});

/** The input goes with the last try: what has failed cannot be understood. */
export const inputlessDead: Break = (sound) => ({
  input: async (queue, id) => {
    const [status] = await sound.get(queue, [id]);
    return status?.state === "failed" ? undefined : sound.input(queue, id);
  },
});

/** An input is shown without what says how to read it. */
export const inputWithoutMeta: Break = (sound) => ({
  input: async (queue, id) => {
    const stored = await sound.input(queue, id);
    return stored === undefined ? undefined : { name: stored.name, input: stored.input };
  },
});

/** A result takes the place of the input that it was made of. */
export const resultAsInput: Break = (sound) => ({
  input: async (queue, id) => {
    const result = await sound.result(queue, id);
    return result === undefined ? sound.input(queue, id) : { name: "work", input: result };
  },
});

/** A pause stops nobody, but is told of. */
export const restless: Break = (sound) => {
  let isPaused = false;
  return {
    pause: async (_, paused) => {
      isPaused = paused;
    },
    meter: async (queue) => ({ ...(await sound.meter(queue)), paused: isPaused }),
  };
};
