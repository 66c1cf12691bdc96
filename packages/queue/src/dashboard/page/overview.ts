// All queues at a glance.
import { amount, count, duration } from "../../operate/format.ts";
import type { TaskState } from "../../task/task-status.ts";
import type { Overview, QueueSummary } from "../views.ts";
import { spark } from "./chart.ts";
import type { Child, Shape } from "./dom.ts";
import { h } from "./dom.ts";
import { linkTo, STATES } from "./state.ts";

export function overviewView({ queues }: Overview): Child {
  const sum = (state: TaskState): string =>
    queues.reduce((all, { counts }) => all + counts[state], 0).toLocaleString("en");
  return [
    h(
      "div",
      { class: "line" },
      h("h1", {}, count(queues.length, "queue")),
      h(
        "span",
        { class: "quiet" },
        `${sum("ready")} ready · ${sum("running")} running · ${sum("failed")} failed`,
      ),
    ),
    h("ul", { class: "queues" }, queues.map(card)),
  ];
}

function card(queue: QueueSummary): Shape {
  const { name, counts, points, error, paused } = queue;
  return h(
    "li",
    { key: name, class: "card queue", "data-queue": name },
    h(
      "div",
      { class: "line" },
      h("h2", {}, h("a", { href: linkTo({ at: "queue", queue: name, state: "ready" }) }, name)),
      paused && h("span", { class: "badge paused" }, "paused"),
      error !== undefined && h("span", { class: "badge failed" }, "not reachable"),
    ),
    error === undefined
      ? [
          h("p", { class: "quiet" }, `${amount(recently(queue))} completed a second · ${headOf(queue)}`),
          spark(
            points.map(({ completed }) => completed),
            `completed a second, over the last ${count(points.length === 0 ? 0 : 5, "minute")}`,
          ),
          h(
            "ul",
            { class: "counts" },
            STATES.map((state) =>
              h(
                "li",
                { class: counts[state] > 0 ? state : "none" },
                h(
                  "a",
                  { href: linkTo({ at: "queue", queue: name, state }) },
                  h("b", {}, counts[state].toLocaleString("en")),
                  " ",
                  state,
                ),
              ),
            ),
          ),
        ]
      : h("p", { class: "quiet" }, `Its store does not answer (${error}).`),
  );
}

/** Completions a second, over the last half minute. */
function recently({ points }: QueueSummary): number {
  const end = points.at(-1)?.at ?? 0;
  const recent = points.filter(({ at }) => at > end - 30_000);
  return recent.reduce((all, { completed }) => all + completed, 0) / Math.max(1, recent.length);
}

/** How long the task has waited that goes next. */
export function headOf({ headAgeMs }: QueueSummary): string {
  return headAgeMs === undefined ? "nothing waits" : `the next has waited ${duration(headAgeMs)}`;
}
