// Memory stores with one fault each about those who wait, and about counts.
import type { TaskState } from "@holdfast/queue";
import type { Break } from "./broken-stores.ts";

/** Whoever waits for a task that ends so goes on waiting. */
export function deafTo(state: TaskState): Break {
  return (sound) => ({
    waitForEvents: async (queue, id, after, signal) => {
      await sound.waitForEvents(queue, id, after, signal);
      const [status] = await sound.get(queue, [id]);
      if (status?.state === state) await never();
    },
  });
}

/** The end of the store ends no wait for events. */
export const openWaits: Break = (sound) => {
  let isClosed = false;
  return {
    waitForEvents: async (...args) => {
      await sound.waitForEvents(...args).catch(() => {});
      if (isClosed) await never();
    },
    close: () => {
      isClosed = true;
      return sound.close();
    },
  };
};

/** What is cancelled is counted twice. */
export const countedAgain: Break = (sound) => ({
  stats: async (queue) => {
    const stats = await sound.stats(queue);
    return { ...stats, cancelled: stats.cancelled * 2 };
  },
});

function never(): Promise<never> {
  return new Promise(() => {});
}
