// A process of a soak, to be killed and frozen: workers, and for a store of one process the store too.
// Arguments: kind of store, its place, milliseconds of a lease. Answers questions by number over IPC.
import { setTimeout as sleep } from "node:timers/promises";
import { dist } from "./dist.mjs";
import { judge, look } from "./ledger.mjs";
import { openStore } from "./stores.mjs";

const [kind = "memory", place = "", lease = "2000"] = process.argv.slice(2);
const { defineTask, explicitWaits, handle, PermanentError, queue, worker } = await dist("queue", "index");
const { store } = await openStore(/** @type {import("./stores.mjs").StoreKind} */ (kind), place);
const soak = queue({ name: "soak", store, limit: 1_000_000 });
const task = defineTask({
  name: "soak",
  attempts: 20,
  leaseLosses: 1_000,
  backoff: explicitWaits("50ms"),
});

const working = worker(
  soak,
  [
    handle(task, async (/** @type {any} */ { id, input, attempt, fence, progress, signal }) => {
      process.send?.({ run: id, fence });
      void progress(50).catch(() => {});
      await sleep(input.ms, undefined, { signal });
      if (input.fails >= attempt) throw new Error("not yet");
      if (input.never) throw new PermanentError("never");
      return { fence };
    }),
  ],
  { concurrency: 8, lease: Number(lease) },
);

/** @type {Record<string, (...words: any[]) => unknown>} */
const answers = {
  enqueue: (items) => soak.enqueueMany(task, items),
  judge: (ids) => judge(store, "soak", ids),
  look: (ids) => look(store, "soak", ids),
  discard: (ids) => store.discard("soak", ids),
  cancel: (ids) => store.cancel("soak", ids, "no longer wanted"),
  stats: () => store.stats("soak"),
  meter: () => store.meter("soak"),
  memory: () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  },
};
process.on("message", (/** @type {any} */ { ask, what, words }) => {
  Promise.resolve()
    .then(() => answers[what]?.(...words))
    .then(
      (answer) => process.send?.({ ask, answer }),
      (error) => process.send?.({ ask, code: error.code ?? error.name, message: String(error.message) }),
    )
    .catch(() => {});
});
process.on("disconnect", () => void working.close({ within: 500 }).then(() => process.exit()));
process.send?.({ ready: true });
