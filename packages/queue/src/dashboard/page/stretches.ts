// A task's life as stretches of waiting and running, made from its events.
import { waitingFor } from "../../operate/format.ts";
import type { TaskEvent } from "../../task/task-status.ts";

/** Something a task did for a while. */
export interface Stretch {
  readonly kind: "wait" | "run";
  readonly what: string;
  /** How it ended; nothing while it goes on, or where what followed is not known. */
  readonly end?: "done" | "failed" | "lost" | "given back" | "cancelled";
  readonly from: number;
  readonly to: number;
  /** When something was recorded in it: steps that are done. */
  readonly marks: readonly number[];
}

interface Open {
  readonly kind: Stretch["kind"];
  readonly what: string;
  readonly from: number;
  readonly marks: number[];
}

const ENDS: Readonly<Partial<Record<TaskEvent["type"], Stretch["end"]>>> = {
  completed: "done",
  failed: "failed",
  retrying: "failed",
  cancelled: "cancelled",
  lease_lost: "lost",
  released: "given back",
  suspended: "done",
};

/** Stretches in their order; the last one lasts until `until` if the task has not ended. */
export function stretchesOf(
  events: readonly TaskEvent[],
  addedAt: number,
  until: number,
): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let open: Open | undefined;
  const begin = (kind: Stretch["kind"], what: string, from: number): void => {
    open = { kind, what, from, marks: [] };
  };
  const end = (at: number, how: Stretch["end"]): void => {
    if (open === undefined) return;
    stretches.push({ ...open, to: Math.max(open.from, at), ...(how === undefined ? {} : { end: how }) });
    open = undefined;
  };
  // What came before the first event that is kept is one stretch, of which no more is known.
  const [first] = events;
  if (first !== undefined && first.type !== "enqueued") begin("wait", "earlier", addedAt);
  for (const event of events) {
    const next = nextOf(event);
    const isRunning = (open as Open | undefined)?.kind === "run";
    if (next !== undefined || ENDS[event.type] !== undefined)
      end(event.at, isRunning ? ENDS[event.type] : undefined);
    else if (event.type === "checkpoint" || event.type === "signalled")
      (open as Open | undefined)?.marks.push(event.at);
    if (next !== undefined) begin(next.kind, next.what, event.at);
  }
  end(until, undefined);
  return stretches;
}

/** What a task does from this event on. */
function nextOf(event: TaskEvent): Pick<Stretch, "kind" | "what"> | undefined {
  switch (event.type) {
    case "enqueued":
      return { kind: "wait", what: "queued" };
    case "redriven":
      return { kind: "wait", what: "queued again" };
    case "started":
      return { kind: "run", what: `try ${event.attempt}` };
    case "retrying":
      return { kind: "wait", what: "before the next try" };
    case "released":
    case "lease_lost":
      return { kind: "wait", what: "for another worker" };
    case "suspended":
      return { kind: "wait", what: waitingFor(event) };
    case "completed":
    case "failed":
    case "cancelled":
    case "checkpoint":
    case "signalled":
    case "progress":
    case "log":
      return undefined;
  }
}
