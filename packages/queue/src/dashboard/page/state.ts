// What the page knows, and where in it one is: all views are made of this.
import type { TaskState } from "../../task/task-status.ts";
import type { Overview, QueueView, TaskList, TaskView } from "../views.ts";

/** Where one is, as the address says behind its `#`. */
export type Place =
  | { readonly at: "overview" }
  | { readonly at: "queue"; readonly queue: string; readonly state: TaskState }
  | { readonly at: "task"; readonly queue: string; readonly id: string };

export const STATES: readonly TaskState[] = [
  "scheduled",
  "waiting",
  "ready",
  "running",
  "completed",
  "failed",
  "cancelled",
];

/** Something to be said yes to. */
export interface Question {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
  readonly onYes: () => void;
}

export interface PageState {
  place: Place;
  overview?: Overview | undefined;
  view?: QueueView | undefined;
  tasks?: TaskList | undefined;
  task?: TaskView | undefined;
  /** Why what is shown is old, or not there. */
  problem?: string | undefined;
  /** What came of the last change. */
  notice?: string | undefined;
  question?: Question | undefined;
  /** Tasks that are ticked. */
  readonly chosen: Set<string>;
  /** Tasks of a list that are asked for. */
  max: number;
  /** Minutes that the charts show. */
  minutes: number;
  /** The time in the charts that is looked at, by its number. */
  chartAt?: number | undefined;
  chartWidth: number;
  isBusy: boolean;
}

export function placeOf(hash: string): Place {
  const [kind, queue, third, id] = hash.replace(/^#\/?/, "").split("/").map(decoded);
  if (kind !== "q" || queue === undefined || queue === "") return { at: "overview" };
  if (third === "t" && id !== undefined && id !== "") return { at: "task", queue, id };
  return { at: "queue", queue, state: STATES.find((state) => state === third) ?? "ready" };
}

export function linkTo(place: Place): string {
  if (place.at === "overview") return "#/";
  const queue = `#/q/${encodeURIComponent(place.queue)}`;
  return place.at === "queue" ? `${queue}/${place.state}` : `${queue}/t/${encodeURIComponent(place.id)}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
