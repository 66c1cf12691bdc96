// One task: what it is, its life as a timeline, its steps, its children, and all that has happened to it.
import { clockTime, count, duration, fromNow, waitingFor } from "../../operate/format.ts";
import type { TaskEvent, TaskStatus } from "../../task/task-status.ts";
import { hasEnded } from "../../task/task-status.ts";
import type { TaskView } from "../views.ts";
import type { Child, Shape } from "./dom.ts";
import { h } from "./dom.ts";
import { button, progressOf, stateBadge } from "./parts.ts";
import type { PageState } from "./state.ts";
import { linkTo } from "./state.ts";
import type { Stretch } from "./stretches.ts";
import { stretchesOf } from "./stretches.ts";

/** Stretches shown: of a task that is tried for days, the latest. */
const MAX_STRETCHES = 40;

export function taskPage(state: PageState, view: TaskView): Child {
  const { task, now } = view;
  const error = task.state === "failed" ? task.error : task.lastError;
  return [
    h(
      "div",
      { class: "line head" },
      h("h1", {}, task.name),
      stateBadge(task),
      !view.readOnly && h("span", { class: "actions" }, actionsOf(state, task)),
    ),
    h("p", { class: "id" }, h("code", {}, task.id)),
    progressOf(task),
    error !== undefined &&
      h(
        "p",
        { class: "problem" },
        h("b", {}, task.state === "failed" ? error.code : `The last try failed: ${error.code}`),
        h("span", {}, error.message),
      ),
    h("div", { class: "two" }, facts(view), timeline(view)),
    view.input !== undefined && section("Input", h("pre", { id: "input" }, view.input)),
    view.checkpoints.length > 0 &&
      section(
        "Steps",
        h(
          "ol",
          { class: "rows", id: "checkpoints" },
          view.checkpoints.map(({ name, value }) =>
            h(
              "li",
              { key: name },
              h("span", { class: "main" }, h("b", {}, name), value !== undefined && h("pre", {}, value)),
              h("span", { class: "side quiet" }, recordedAfter(view, name)),
            ),
          ),
        ),
      ),
    view.children.length > 0 && section("Children", children(view)),
    view.result !== undefined && section("Result", h("pre", { id: "result" }, view.result)),
    section("Events", eventList(view, now)),
  ];
}

/** How long after it was added a step was recorded, if that event is still kept. */
function recordedAfter({ events: all, task }: TaskView, name: string): Child {
  const event = all.find(
    (one) => (one.type === "checkpoint" || one.type === "signalled") && one.name === name,
  );
  return event !== undefined && `after ${duration(Math.max(0, event.at - task.enqueuedAt))}`;
}

function section(title: string, ...content: readonly Child[]): Shape {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), content);
}

function actionsOf(state: PageState, task: TaskStatus): Child {
  if (!hasEnded(task)) return button("cancel", "Cancel", state, "danger");
  return [
    task.state === "failed" && button("redrive", "Redrive", state),
    button("discard", "Discard", state, "danger"),
  ];
}

function facts({ task, queue, now }: TaskView): Shape {
  const rows: readonly (readonly [string, Child] | undefined)[] = [
    ["Added", `${clockTime(task.enqueuedAt, now)} (${fromNow(task.enqueuedAt, now)})`],
    phaseOf(task, now),
    "finishedAt" in task
      ? ["Ended", `${clockTime(task.finishedAt, now)} (${fromNow(task.finishedAt, now)})`]
      : undefined,
    [
      "Try",
      task.attempt === 0 ? `none of ${task.maxAttempts} yet` : `${task.attempt} of ${task.maxAttempts}`,
    ],
    task.leaseLosses > 0 ? ["Workers lost", task.leaseLosses] : undefined,
    task.priority !== 0 ? ["Priority", task.priority] : undefined,
    task.group === undefined ? undefined : ["Group", task.group],
    task.tenant === undefined ? undefined : ["Tenant", task.tenant],
    task.parent === undefined
      ? undefined
      : ["Parent", h("a", { href: linkTo({ at: "task", queue, id: task.parent }) }, task.parent)],
    task.progress === undefined ? undefined : ["Progress", h("code", {}, JSON.stringify(task.progress))],
  ];
  return h(
    "dl",
    { class: "card facts" },
    rows.map(
      (row) => row !== undefined && h("div", { key: row[0] }, h("dt", {}, row[0]), h("dd", {}, row[1])),
    ),
  );
}

function phaseOf(task: TaskStatus, now: number): readonly [string, Child] | undefined {
  if (task.state === "scheduled")
    return ["Due", `${clockTime(task.dueAt, now)} (${fromNow(task.dueAt, now)})`];
  if (task.state === "waiting")
    return [
      "Waits",
      `${waitingFor(task)}${task.dueAt === undefined ? "" : `, until ${clockTime(task.dueAt, now)}`}`,
    ];
  if (task.state === "running")
    return ["Worker", `${task.worker}, its lease ends ${fromNow(task.leaseEndsAt, now)}`];
  return task.state === "cancelled" ? ["Reason", task.reason] : undefined;
}

function timeline({ task, events, now }: TaskView): Shape {
  const until = "finishedAt" in task ? task.finishedAt : now;
  const all = stretchesOf(events, task.enqueuedAt, until);
  const shown = all.slice(-MAX_STRETCHES);
  const from = shown[0]?.from ?? task.enqueuedAt;
  const whole = Math.max(1, Math.max(until, ...shown.map(({ to }) => to)) - from);
  return h(
    "section",
    { class: "card timeline", "aria-label": "Timeline" },
    h("h2", {}, `${duration(whole)} in all`),
    h(
      "ol",
      { id: "timeline" },
      shown.map((stretch, index) => bar(stretch, from, whole, all.length - shown.length + index)),
    ),
  );
}

function bar(stretch: Stretch, from: number, whole: number, key: number): Shape {
  const { kind, what, end, marks } = stretch;
  const share = (at: number): number => Math.round(((at - from) / whole) * 10_000) / 10;
  const x = share(stretch.from);
  const look = kind === "wait" ? "wait" : (end ?? "running").replace(" ", "-");
  const took = duration(stretch.to - stretch.from);
  return h(
    "li",
    { key, class: look },
    h("span", { class: "what" }, what, end !== undefined && end !== "done" && h("em", {}, ` ${end}`)),
    h(
      "svg",
      { viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      h("rect", {
        class: "bar",
        x: Math.min(x, 994),
        y: 0,
        width: Math.max(6, share(stretch.to) - x),
        height: 10,
      }),
      marks.map((at) => h("rect", { class: "mark", x: share(at) - 2, y: 0, width: 4, height: 10 })),
    ),
    h("span", { class: "took" }, took),
  );
}

function children({ children: tasks, queue, now }: TaskView): Shape {
  return h(
    "ul",
    { class: "rows", id: "children" },
    tasks.map((task) =>
      h(
        "li",
        { key: task.id },
        h(
          "a",
          { class: "main", href: linkTo({ at: "task", queue, id: task.id }) },
          h("b", {}, task.name),
          h("code", {}, task.id),
        ),
        h(
          "span",
          { class: "side" },
          stateBadge(task),
          h("span", { class: "quiet" }, fromNow(task.enqueuedAt, now)),
        ),
      ),
    ),
  );
}

function eventList({ events: all, eventsBefore, task }: TaskView, now: number): Child {
  return [
    eventsBefore > 0 && h("p", { class: "quiet" }, `${count(eventsBefore, "older event")} not shown.`),
    h(
      "ol",
      { class: "events", id: "events" },
      all.map((event) =>
        h(
          "li",
          { key: event.seq, class: event.type },
          h("time", {}, clockTime(event.at, now)),
          h("span", { class: "after" }, `+${duration(Math.max(0, event.at - task.enqueuedAt))}`),
          h("b", {}, event.type.replace("_", " ")),
          h("span", {}, wordsOf(event)),
        ),
      ),
    ),
  ];
}

function wordsOf(event: TaskEvent): string {
  switch (event.type) {
    case "started":
      return `try ${event.attempt}`;
    case "progress":
      return JSON.stringify(event.value);
    case "log":
      return event.line;
    case "retrying":
      return `in ${duration(event.delayMs)} · ${event.error.code}: ${event.error.message}`;
    case "checkpoint":
    case "signalled":
      return event.name;
    case "suspended":
      return `${waitingFor(event)}${event.delayMs === undefined ? "" : `, for ${duration(event.delayMs)} at most`}`;
    case "failed":
      return `${event.error.code}: ${event.error.message}`;
    case "cancelled":
      return event.reason;
    case "enqueued":
    case "released":
    case "lease_lost":
    case "redriven":
    case "completed":
      return "";
  }
}
