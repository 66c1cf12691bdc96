// One queue: its state, its charts, its tasks by state, its schedules.
import { clockTime, count, duration, fromNow, waitingFor } from "../../operate/format.ts";
import type { TaskStatus } from "../../task/task-status.ts";
import type { Point, QueueView, TaskList } from "../views.ts";
import { chart } from "./chart.ts";
import type { Child, Shape } from "./dom.ts";
import { h } from "./dom.ts";
import { headOf } from "./overview.ts";
import { button, progressOf, stateBadge } from "./parts.ts";
import type { PageState } from "./state.ts";
import { linkTo, STATES } from "./state.ts";

const WINDOWS = [5, 15, 60];

export function queuePage(state: PageState, view: QueueView): Child {
  const { queue, readOnly, now, schedules } = view;
  const shown = state.place.at === "queue" ? state.place.state : "ready";
  return [
    h(
      "div",
      { class: "line head" },
      h("h1", {}, queue.name),
      queue.paused && h("span", { class: "badge paused" }, "paused"),
      h("span", { class: "quiet" }, headOf(queue)),
      !readOnly &&
        h(
          "span",
          { class: "actions" },
          queue.paused ? button("resume", "Resume", state) : button("pause", "Pause", state),
        ),
    ),
    queue.error !== undefined && h("p", { class: "problem" }, `Its store does not answer (${queue.error}).`),
    charts(state, queue.points, now),
    h(
      "nav",
      { class: "states", "aria-label": "Tasks by state" },
      STATES.map((one) =>
        h(
          "a",
          {
            class: one,
            href: linkTo({ at: "queue", queue: queue.name, state: one }),
            "aria-current": one === shown ? "page" : undefined,
          },
          h("b", {}, queue.counts[one].toLocaleString("en")),
          h("span", {}, one),
        ),
      ),
    ),
    taskList(state, view),
    schedules.length > 0 && [
      h("h2", {}, "Schedules"),
      h(
        "ul",
        { class: "rows card", id: "schedules" },
        schedules.map(({ key, nextAt, text }) =>
          h(
            "li",
            { key },
            h(
              "span",
              { class: "main" },
              h("b", {}, key),
              text !== undefined && h("code", { class: "quiet" }, text),
            ),
            h("span", { class: "side" }, `${fromNow(nextAt, now)} · ${clockTime(nextAt, now)}`),
          ),
        ),
      ),
    ],
  ];
}

function charts(state: PageState, points: readonly Point[], now: number): Shape {
  const times = points.map(({ at }) => at);
  const common = {
    times,
    ...chartSpan(state, points, now),
    width: state.chartWidth,
    at: state.chartAt,
  };
  const of = (pick: (point: Point) => number | undefined): readonly (number | undefined)[] =>
    points.map(pick);
  return h(
    "section",
    { class: "card", "aria-label": "Over time" },
    h(
      "div",
      { class: "line windows", role: "group", "aria-label": "Minutes shown" },
      WINDOWS.map((minutes) =>
        h(
          "button",
          {
            type: "button",
            class: "plain",
            "data-do": "window",
            "data-minutes": minutes,
            "aria-pressed": String(minutes === state.minutes),
          },
          `${minutes} min`,
        ),
      ),
    ),
    h(
      "div",
      { class: "charts" },
      chart({
        ...common,
        id: "throughput",
        title: "Tasks a second",
        series: [
          { name: "added", look: "first", values: of(({ added }) => added) },
          { name: "completed", look: "second", values: of(({ completed }) => completed) },
          {
            name: "failed or tried again",
            look: "third",
            values: of(({ failed, retried }) => failed + retried),
          },
        ],
      }),
      chart({
        ...common,
        id: "latency",
        title: "Mean time",
        format: duration,
        series: [
          { name: "waiting", look: "first", values: of(({ waitMs }) => waitMs) },
          { name: "running", look: "second", values: of(({ runMs }) => runMs) },
        ],
      }),
      chart({
        ...common,
        id: "total",
        title: "From added to completed",
        format: duration,
        series: [
          { name: "p50", look: "second", values: of(({ totalMs }) => totalMs?.p50) },
          { name: "p95", look: "first", values: of(({ totalMs }) => totalMs?.p95) },
          { name: "p99", look: "third", values: of(({ totalMs }) => totalMs?.p99) },
        ],
      }),
      chart({
        ...common,
        id: "backlog",
        title: "Tasks",
        series: [
          { name: "ready", look: "first", values: of(({ ready }) => ready) },
          { name: "running", look: "second", values: of(({ running }) => running) },
        ],
      }),
    ),
  );
}

/** What the charts show from left to right: the minutes that were chosen, or those there are. */
export function chartSpan(
  { minutes }: PageState,
  points: readonly Point[],
  now: number,
): { readonly from: number; readonly to: number } {
  const to = points.at(-1)?.at ?? now;
  return { from: Math.min(to - 10_000, Math.max(to - minutes * 60_000, points[0]?.at ?? to)), to };
}

function taskList(state: PageState, { now, readOnly, queue }: QueueView): Child {
  const { tasks: list, chosen } = state;
  if (list === undefined) return h("p", { class: "empty" }, "Looking …");
  const isOpen = !readOnly && list.state !== "completed" && list.state !== "cancelled";
  const ticked = list.tasks.filter(({ id }) => chosen.has(id)).length;
  return h(
    "section",
    { class: "card tasks", "aria-label": `Tasks that are ${list.state}` },
    isOpen && list.tasks.length > 0 && bulk(state, list, ticked),
    list.tasks.length === 0
      ? h("p", { class: "empty" }, list.state === "failed" ? "No dead letters." : `No task is ${list.state}.`)
      : h(
          "ul",
          { class: "rows", id: "tasks" },
          list.tasks.map((task) =>
            h(
              "li",
              { key: task.id, "data-task": task.id },
              isOpen &&
                h("input", {
                  type: "checkbox",
                  checked: chosen.has(task.id),
                  "data-do": "choose",
                  "data-id": task.id,
                  "aria-label": `Choose ${task.name} ${task.id}`,
                }),
              h(
                "a",
                { class: "main", href: linkTo({ at: "task", queue: queue.name, id: task.id }) },
                h("b", {}, task.name),
                h("code", {}, task.id),
                h("span", { class: "quiet" }, remarkOf(task, now)),
              ),
              progressOf(task),
              h("span", { class: "side" }, stateBadge(task), h("span", { class: "quiet" }, triesOf(task))),
            ),
          ),
        ),
    list.more &&
      (state.max < 200
        ? h("p", { class: "line" }, button("more", "Show more", state))
        : h("p", { class: "quiet" }, `These are the first ${list.tasks.length}.`)),
  );
}

function bulk(state: PageState, list: TaskList, ticked: number): Shape {
  const all = ticked === list.tasks.length;
  const named = count(ticked, "task");
  return h(
    "div",
    { class: "line bulk" },
    h(
      "label",
      {},
      h("input", { type: "checkbox", checked: all, "data-do": "choose-all" }),
      ticked === 0
        ? ` ${count(list.tasks.length, "task")}${list.more ? " and more" : ""}`
        : ` ${named} chosen`,
    ),
    h(
      "span",
      { class: "actions" },
      list.state === "failed"
        ? [
            ticked > 0
              ? [
                  button("redrive", `Redrive ${ticked}`, state),
                  button("discard", `Discard ${ticked}`, state, "danger"),
                ]
              : [
                  button("redrive-all", "Redrive all", state),
                  button("discard-all", "Discard all", state, "danger"),
                ],
          ]
        : ticked > 0 && button("cancel", `Cancel ${ticked}`, state, "danger"),
    ),
  );
}

/** What is worth knowing of a task in its state. */
function remarkOf(task: TaskStatus, now: number): string {
  switch (task.state) {
    case "scheduled":
      return `due ${fromNow(task.dueAt, now)}${task.lastError === undefined ? "" : ` · ${task.lastError.code}: ${task.lastError.message}`}`;
    case "waiting":
      return waitingFor(task);
    case "ready":
      return `added ${fromNow(task.enqueuedAt, now)}`;
    case "running":
      return `for ${duration(Math.max(0, now - task.startedAt))} on ${task.worker}`;
    case "failed":
      return `${fromNow(task.finishedAt, now)} · ${task.error.code}: ${task.error.message}`;
    case "cancelled":
      return `${fromNow(task.finishedAt, now)} · ${task.reason}`;
    case "completed":
      return `${fromNow(task.finishedAt, now)}, ${duration(Math.max(0, task.finishedAt - task.enqueuedAt))} after it was added`;
  }
}

function triesOf({ attempt, maxAttempts, leaseLosses }: TaskStatus): string {
  const tries = attempt === 0 ? "" : `try ${attempt} of ${maxAttempts}`;
  return leaseLosses === 0 ? tries : `${tries} · ${count(leaseLosses, "lost worker")}`;
}
