// A soak: tasks are added for minutes while processes are killed and frozen and the server is restarted.
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AskedProcess } from "../services/asked-process.mjs";
import { judge, Ledger, look } from "./ledger.mjs";
import { dist } from "./dist.mjs";
import { openStore, SHARED } from "./stores.mjs";

const PROCESS = fileURLToPath(new URL("process.mjs", import.meta.url));
/** A lease, in milliseconds: those that are frozen are frozen for longer. */
const LEASE_MS = 2_000;
const WORKERS = 3;
/** Tasks that are not known to have ended; more are not added. */
const MOST_OPEN = 3_000;
const BATCH = 40;
/** Once nothing is harmed any more all that was acknowledged has to end: it is stuck when nothing has for this long. */
const STUCK_MS = 60_000;

/**
 * @typedef {object} SoakOptions
 * @property {import("./stores.mjs").StoreKind} kind
 * @property {string} place - URL of the server, or path of the journal.
 * @property {number} minutes
 * @property {{ restart(): Promise<void> }} [server]
 * @property {(line: string) => void} say
 */

/**
 * Where tasks are added and looked at: here, for a store that is shared, else in the process that has it.
 *
 * @typedef {object} Desk
 * @property {(what: string, ...words: any[]) => Promise<any>} ask
 * @property {() => Promise<void>} close
 */

/**
 * @param {SoakOptions} options
 * @returns {Promise<Record<string, unknown> & { faults: string[] }>}
 */
export async function soak(options) {
  const { kind, place, minutes, server, say } = options;
  const isShared = SHARED.includes(kind);
  const ledger = new Ledger();
  const harm = { killed: 0, frozen: 0, restarts: 0 };
  let runs = 0;
  /** @type {Map<string, number>} Runs of tasks that have not been seen to end. */
  const runsOf = new Map();
  let again = 0;
  /** Tasks that have ended and that the store could not be told to forget. @type {readonly string[]} */
  let unforgotten = [];
  const start = () =>
    new AskedProcess(PROCESS, [kind, place, String(LEASE_MS)], (id) => {
      runs += 1;
      runsOf.set(id, (runsOf.get(id) ?? 0) + 1);
    });
  /** @type {AskedProcess[]} */
  const children = Array.from({ length: isShared ? WORKERS : 1 }, start);
  await Promise.all(children.map(({ ready }) => ready));
  const desk = isShared ? await ownDesk(kind, place) : { ask: deskIn(children), close: async () => {} };

  const endsAt = Date.now() + minutes * 60_000;
  const over = new AbortController();
  /** @type {number[]} */
  const heaps = [];
  let number = 0;
  let sent = 0;

  const adding = (async () => {
    while (Date.now() < endsAt) {
      if (ledger.open.size > MOST_OPEN) {
        await sleep(50);
        continue;
      }
      const items = Array.from({ length: BATCH }, () => itemOf((number += 1)));
      sent += items.length;
      await untilTaken(desk, items);
      for (const { id } of items) ledger.add(id);
      if (number % 400 === 0) await desk.ask("cancel", [items[0]?.id]).catch(() => {});
      await sleep(20);
    }
  })();

  const checking = (async () => {
    for (let turn = 0; !over.signal.aborted; turn += 1) {
      const ids = ledger.oldest(500);
      if (ids.length > 0) await check(ids).catch(() => sleep(100));
      if (turn % 20 === 0) await measure();
      await sleep(ids.length === 0 ? 100 : 20);
    }
  })();

  /** @param {readonly string[]} ids */
  async function check(ids) {
    const done = [...unforgotten, ...ledger.settle(await desk.ask("judge", ids))];
    unforgotten = done;
    for (const id of done) {
      again += Math.max(0, (runsOf.get(id) ?? 1) - 1);
      runsOf.delete(id);
    }
    if (done.length > 0) await desk.ask("discard", done);
    unforgotten = [];
  }

  async function measure() {
    // The process that is killed last tells of growth; all of them start small.
    const used = await children
      .at(-1)
      ?.ask("memory")
      .catch(() => undefined);
    if (used !== undefined) heaps.push(used);
  }

  const harming = (async () => {
    for (let turn = 0; Date.now() < endsAt; turn += 1) {
      await sleep(isShared ? 1_000 : 3_000);
      // The last one is left alone where there are others, so that growth can be seen.
      const at = isShared ? turn % (children.length - 1) : 0;
      const victim = /** @type {AskedProcess} */ (children[at]);
      if (turn % 3 === 2 || kind === "memory") {
        victim.freeze();
        harm.frozen += 1;
        await sleep(LEASE_MS * 1.5);
        victim.thaw();
      } else {
        await victim.kill();
        harm.killed += 1;
        children[at] = start();
        await children[at]?.ready;
      }
      if (server !== undefined && turn % 6 === 5) {
        await server.restart();
        harm.restarts += 1;
      }
      if (turn % 10 === 9)
        say(
          `${harm.killed} killed, ${harm.frozen} frozen, ${harm.restarts} restarts; ${ledger.acknowledged} acknowledged, ${ledger.open.size} open`,
        );
    }
  })();

  await Promise.all([adding, harming]);
  for (
    let last = ledger.open.size, at = Date.now();
    last > 0 && Date.now() - at < STUCK_MS;
    await sleep(200)
  ) {
    if (ledger.open.size < last) at = Date.now();
    last = ledger.open.size;
  }
  over.abort();
  await checking;
  if (unforgotten.length > 0) await desk.ask("discard", unforgotten);
  await measure();
  const left = [...ledger.open];
  for (const { id, state, events } of left.length > 0 ? await desk.ask("look", left.slice(0, 5)) : [])
    ledger.faults.push(`${id} has not ended: ${state} after ${events.join(", ")}`);

  const stats = await desk.ask("stats");
  const meter = await desk.ask("meter");
  const ended = ledger.ended.completed + ledger.ended.failed + ledger.ended.cancelled;
  same("tasks in the store after all were forgotten", total(stats), left.length);
  same("tasks added, as the store counts", meter.added, ledger.acknowledged);
  for (const state of /** @type {const} */ (["completed", "failed", "cancelled"]))
    same(`tasks ${state}, as the store counts`, meter[state], ledger.ended[state]);

  /** @param {string} what @param {number} is @param {number} wanted */
  function same(what, is, wanted) {
    if (is !== wanted) ledger.faults.push(`${what}: ${is}, not ${wanted}`);
  }

  await desk.close();
  await Promise.all(children.map((child) => child.end()));
  const third = Math.max(1, Math.floor(heaps.length / 3));
  return {
    store: kind,
    minutes,
    tasks: ledger.acknowledged,
    sent,
    ended,
    ...ledger.ended,
    runs,
    "runs beyond the first": again,
    ...harm,
    "heap of a worker, first third (MB)": mean(heaps.slice(0, third)),
    "heap of a worker, last third (MB)": mean(heaps.slice(-third)),
    "heap of this process (MB)": round(process.memoryUsage().heapUsed),
    faults: ledger.faults,
  };
}

/**
 * What a process with a store of its own is asked: whichever has it at the time.
 *
 * @param {readonly AskedProcess[]} children
 * @returns {Desk["ask"]}
 */
function deskIn(children) {
  return (what, ...words) => /** @type {AskedProcess} */ (children[0]).ask(what, ...words);
}

/**
 * @param {import("./stores.mjs").StoreKind} kind
 * @param {string} place
 * @returns {Promise<Desk>}
 */
async function ownDesk(kind, place) {
  const { store, close } = await openStore(kind, place);
  const { defineTask, queue } = await dist("queue", "index");
  const tasks = queue({ name: "soak", store, limit: 1_000_000 });
  const task = defineTask({ name: "soak", attempts: 20, leaseLosses: 1_000 });
  /** @type {Record<string, (...words: any[]) => Promise<any>>} */
  const answers = {
    enqueue: (items) => tasks.enqueueMany(task, items),
    judge: (ids) => judge(store, "soak", ids),
    discard: (ids) => store.discard("soak", ids),
    cancel: (ids) => store.cancel("soak", ids, "no longer wanted"),
    stats: () => store.stats("soak"),
    meter: () => store.meter("soak"),
    look: (ids) => look(store, "soak", ids),
  };
  return { ask: async (what, ...words) => answers[what]?.(...words), close };
}

/**
 * Adds tasks for as long as that takes. Under IDs of their own, a second try adds none twice.
 *
 * @param {Desk} desk
 * @param {readonly { readonly id: string }[]} items
 */
async function untilTaken(desk, items) {
  for (;;) {
    try {
      await desk.ask("enqueue", items);
      return;
    } catch (error) {
      const { code } = /** @type {{ code?: string }} */ (error);
      if (code === "TASK_EXISTS") return;
      if (code !== "STORE_UNAVAILABLE" && code !== "LOST") throw error;
      await sleep(100);
    }
  }
}

/**
 * A task: most are short and go well, some fail at first, some for good, some are long, wait, or share a group.
 *
 * @param {number} n
 */
function itemOf(n) {
  return {
    id: `soak-${n}`,
    input: { ms: n % 50 === 7 ? 500 : (n % 7) * 4, fails: n % 11 === 0 ? 2 : 0, never: n % 97 === 0 },
    ...(n % 13 === 0 ? { delay: 300 } : {}),
    ...(n % 5 === 0 ? { group: `group-${n % 40}` } : {}),
    ...(n % 3 === 0 ? { tenant: `tenant-${n % 9}` } : {}),
    priority: n % 4,
  };
}

/** @param {Record<string, number>} stats */
function total(stats) {
  return Object.values(stats).reduce((sum, one) => sum + one, 0);
}

/** @param {readonly number[]} bytes */
function mean(bytes) {
  return round(bytes.reduce((sum, one) => sum + one, 0) / Math.max(1, bytes.length));
}

/** @param {number} bytes */
function round(bytes) {
  return Math.round(bytes / 104_857.6) / 10;
}
