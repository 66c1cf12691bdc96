// What is changed from the page: pause, resume, cancel, redrive, discard.
import type { Channel, Clock } from "@holdfast/core";
import { channel, readJson, RequestError } from "@holdfast/core";
import { discardAll, redriveAll } from "../operate/every-dead-letter.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { Action, ActionOutcome } from "./views.ts";

/** Somebody has changed something from a dashboard. */
export interface DashboardChangeEvent {
  readonly queue: string;
  readonly action: "pause" | "resume" | "cancel" | "redrive" | "discard";
  /** The tasks that were named; empty when all dead letters were, or the queue itself. */
  readonly ids: readonly string[];
  /** How many tasks were changed. */
  readonly changed: number;
  /** As it came in, without its body: to find out who it was. */
  readonly request: Request;
}

interface Wish {
  readonly ids: readonly string[];
  readonly all: boolean;
}

const CHANGED: Channel<DashboardChangeEvent> = /* @__PURE__ */ channel<DashboardChangeEvent>(
  "queue",
  "dashboard_change",
);

const MAX_BODY_BYTES = 262_144;
const MAX_IDS = 1_000;
/** All dead letters are taken this many and this long at a time; the page asks again. */
const MAX_SWEEP = 10_000;
const SWEEP_MS = 5_000;
const REASON = "cancelled from the dashboard";

export function isAction(text: string): text is Action {
  return ["pause", "resume", "cancel", "redrive", "discard"].includes(text);
}

/** @throws RequestError 400, 413, 415 */
export async function change(
  queue: Queue,
  action: Action,
  request: Request,
  clock: Clock,
): Promise<ActionOutcome> {
  const wish = wishOf(await readJson(request, MAX_BODY_BYTES));
  const changed = await carryOut(queue, action, wish, clock);
  if (CHANGED.hasSubscribers) CHANGED.publish({ queue: queue.name, action, ids: wish.ids, changed, request });
  return { changed, asked: wish.all ? changed : wish.ids.length };
}

async function carryOut(queue: Queue, action: Action, wish: Wish, clock: Clock): Promise<number> {
  const { store, name } = queue;
  if (action === "pause" || action === "resume") {
    await (action === "pause" ? queue.pause() : queue.resume());
    return 0;
  }
  if (wish.all && action !== "cancel") {
    const until = clock.monotonic() + SWEEP_MS;
    const sweep = { max: MAX_SWEEP, isOver: () => clock.monotonic() >= until };
    return action === "redrive" ? redriveAll(queue, sweep) : discardAll(queue, sweep);
  }
  if (wish.ids.length === 0) throw malformed();
  if (action === "redrive") return queue.redrive(...wish.ids);
  if (action === "discard") return queue.discard(...wish.ids);
  const outcomes = await store.cancel(name, wish.ids, REASON);
  return outcomes.filter((outcome) => outcome === "cancelled").length;
}

function wishOf(body: unknown): Wish {
  if (typeof body !== "object" || body === null) throw malformed();
  const { ids = [], all = false } = body as { readonly ids?: unknown; readonly all?: unknown };
  const isList = Array.isArray(ids) && ids.length <= MAX_IDS && ids.every((id) => typeof id === "string");
  if (!isList || typeof all !== "boolean") throw malformed();
  return { ids: [...new Set(ids as readonly string[])], all };
}

function malformed(): RequestError {
  const expected = `{"ids": […]} with 1 to ${MAX_IDS} IDs of tasks, or {"all": true} for dead letters`;
  return new RequestError(400, "MALFORMED_BODY", `the body must be ${expected}`);
}
