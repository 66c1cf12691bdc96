// Holds every acknowledged task to its promise: it ends once, and what is counted is what is there.

/** @typedef {import("../../packages/queue/src/store/store.ts").QueueStore} QueueStore */

/**
 * @typedef {object} Verdict
 * @property {string} id
 * @property {"live" | "gone" | "completed" | "failed" | "cancelled"} state
 * @property {number} ends - How often its events say that it ended.
 * @property {boolean} sound - Whether its events are numbered without a gap or a double.
 */

const ENDS = ["completed", "failed", "cancelled"];

/**
 * What became of tasks.
 *
 * @param {QueueStore} store
 * @param {string} queue
 * @param {readonly string[]} ids
 * @returns {Promise<Verdict[]>}
 */
export async function judge(store, queue, ids) {
  const found = await store.get(queue, ids);
  return Promise.all(
    ids.map(async (id, index) => {
      const state = found[index]?.state;
      if (state === undefined) return { id, state: "gone", ends: 0, sound: false };
      if (!ENDS.includes(state)) return { id, state: "live", ends: 0, sound: true };
      const events = (await store.events(queue, id, 0, 1_000))?.events ?? [];
      return {
        id,
        state: /** @type {Verdict["state"]} */ (state),
        ends: events.filter(({ type }) => ENDS.includes(type)).length,
        sound: events.every(({ seq }, at) => seq === at + 1),
      };
    }),
  );
}

/**
 * Tasks that should have ended, for whoever has to find out why they have not.
 *
 * @param {QueueStore} store
 * @param {string} queue
 * @param {readonly string[]} ids
 * @returns {Promise<{ id: string, state: string, events: string[] }[]>}
 */
export async function look(store, queue, ids) {
  const found = await store.get(queue, ids);
  return Promise.all(
    ids.map(async (id, index) => {
      const page = await store.events(queue, id, 0, 1_000);
      return {
        id,
        state: found[index]?.state ?? "gone",
        events: (page?.events ?? []).map(({ type }) => type),
      };
    }),
  );
}

/** Acknowledged tasks that have not been seen to end, and what became of the others. */
export class Ledger {
  /** @type {Set<string>} */
  open = new Set();
  acknowledged = 0;
  ended = { completed: 0, failed: 0, cancelled: 0 };
  /** @type {string[]} */
  faults = [];

  /** @param {string} id */
  add(id) {
    if (this.open.has(id)) return;
    this.open.add(id);
    this.acknowledged += 1;
  }

  /** @param {number} max @returns {string[]} Those that have been open for longest. */
  oldest(max) {
    return [...this.open].slice(0, max);
  }

  /**
   * @param {readonly Verdict[]} verdicts
   * @returns {string[]} Those that have ended: they can be forgotten.
   */
  settle(verdicts) {
    /** @type {string[]} */
    const done = [];
    for (const { id, state, ends, sound } of verdicts) {
      if (state === "live") {
        // To the end of the line: those behind it get their turn.
        this.open.delete(id);
        this.open.add(id);
        continue;
      }
      this.open.delete(id);
      if (state === "gone") this.faults.push(`${id} was acknowledged and is gone`);
      else {
        this.ended[state] += 1;
        if (ends !== 1) this.faults.push(`${id} has ended ${ends} times`);
        if (!sound) this.faults.push(`the events of ${id} are not numbered one by one`);
        done.push(id);
      }
    }
    return done;
  }
}
