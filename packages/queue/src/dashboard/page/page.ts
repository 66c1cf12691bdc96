// The page: asks for what the place it is at needs, again and again while somebody looks, and shows it.
import { count } from "../../operate/format.ts";
import type { Action } from "../views.ts";
import { act, findTask, getOverview, getQueue, getTask, getTasks } from "./api.ts";
import { nearest, plotStart } from "./chart.ts";
import type { Child } from "./dom.ts";
import { h, patch } from "./dom.ts";
import { overviewView } from "./overview.ts";
import { button } from "./parts.ts";
import { chartSpan, queuePage } from "./queue-page.ts";
import type { PageState, Question } from "./state.ts";
import { linkTo, placeOf } from "./state.ts";
import { taskPage } from "./task-page.ts";

const EVERY_MS = 2_000;

const state: PageState = {
  place: placeOf(location.hash),
  chosen: new Set(),
  max: 50,
  minutes: 15,
  chartWidth: 400,
  isBusy: false,
};
/** Counts places: an answer for a place one has left is not shown. */
let visit = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

addEventListener("hashchange", enter);
addEventListener("resize", render);
document.addEventListener("visibilitychange", () => document.hidden || void look());
document.addEventListener("click", (event) => perform(event.target));
document.addEventListener("submit", (event) => {
  event.preventDefault();
  void find(event.target as HTMLFormElement);
});
document.addEventListener("pointermove", lookIntoChart);
document.addEventListener("pointerleave", () => moveInChart(undefined));
document.addEventListener("keydown", onKey);
enter();

function enter(): void {
  const before = state.place;
  state.place = placeOf(location.hash);
  visit += 1;
  state.chosen.clear();
  state.max = 50;
  state.notice = undefined;
  state.chartAt = undefined;
  const isSameQueue =
    before.at === "queue" && state.place.at === "queue" && before.queue === state.place.queue;
  if (!isSameQueue) state.view = undefined;
  state.tasks = undefined;
  state.task = undefined;
  render();
  void look();
}

/** Asks for what is shown, and comes back. */
async function look(): Promise<void> {
  clearTimeout(timer);
  const mine = visit;
  try {
    const found = await ask();
    if (mine !== visit) return;
    Object.assign(state, found, { problem: undefined });
  } catch (error) {
    if (mine !== visit) return;
    state.problem = error instanceof Error ? error.message : String(error);
  }
  render();
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? undefined : void look()), EVERY_MS);
}

async function ask(): Promise<Partial<PageState>> {
  const { place, minutes, max } = state;
  if (place.at === "overview") return { overview: await getOverview() };
  if (place.at === "task") return { task: await getTask(place.queue, place.id) };
  const [view, tasks] = await Promise.all([
    getQueue(place.queue, minutes),
    getTasks(place.queue, place.state, max),
  ]);
  return { view, tasks };
}

function render(): void {
  const { place, problem, notice } = state;
  document.title = titleOf();
  patch(document.body, [
    h(
      "header",
      {},
      h(
        "nav",
        { "aria-label": "Where you are" },
        h("a", { href: linkTo({ at: "overview" }) }, ownTitle()),
        place.at !== "overview" && [
          h("span", { "aria-hidden": "true" }, "›"),
          h("a", { href: linkTo({ at: "queue", queue: place.queue, state: "ready" }) }, place.queue),
        ],
      ),
      isReadOnly() && h("span", { class: "badge" }, "read only"),
      h(
        "form",
        { role: "search" },
        h("input", {
          type: "search",
          name: "id",
          required: true,
          maxlength: 1_000,
          placeholder: "Task ID",
          "aria-label": "Task ID",
          autocomplete: "off",
          spellcheck: "false",
        }),
        h("button", {}, "Find"),
      ),
      h(
        "p",
        { id: "live", role: "status", "data-live": problem === undefined ? "yes" : "no" },
        h("span", {}),
        problem ?? "live",
      ),
    ),
    h("main", {}, content()),
    h("p", { id: "notice", role: "status" }, notice ?? ""),
    dialog(state.question),
  ]);
  const open = document.querySelector("dialog");
  if (open !== null && !open.open) open.showModal();
  measure();
}

function content(): Child {
  const { place, overview, view, task, problem } = state;
  if (place.at === "overview" && overview !== undefined) return overviewView(overview);
  if (place.at === "queue" && view !== undefined) return queuePage(state, view);
  if (place.at === "task" && task !== undefined) return taskPage(state, task);
  return h("p", { class: "empty" }, problem ?? "Looking …");
}

function dialog(question: Question | undefined): Child {
  if (question === undefined) return undefined;
  return h(
    "dialog",
    { "aria-labelledby": "question" },
    h("h2", { id: "question" }, question.title),
    h("p", {}, question.text),
    h("p", { class: "line" }, button("no", "Keep", state), button("yes", question.yes, state, "danger")),
  );
}

function isReadOnly(): boolean {
  return (state.task ?? state.view ?? state.overview)?.readOnly === true;
}

function titleOf(): string {
  const { place, task } = state;
  return place.at === "overview" ? ownTitle() : `${task?.task.name ?? place.queue} · ${ownTitle()}`;
}

function ownTitle(): string {
  return (state.task ?? state.view ?? state.overview)?.title ?? "Queues";
}

/** Charts are drawn for the width they have. */
function measure(): void {
  const width = document.querySelector(".chart svg")?.clientWidth ?? 0;
  if (width === 0 || Math.abs(width - state.chartWidth) < 2) return;
  state.chartWidth = width;
  render();
}

/** What an element is there for, by its `data-do`. */
function perform(target: EventTarget | null): void {
  const element = target instanceof Element ? target.closest<HTMLElement>("[data-do]") : null;
  if (element !== null) deeds[element.dataset["do"] ?? ""]?.(element);
}

const deeds: Readonly<Record<string, (element: HTMLElement) => void>> = {
  choose: (element) => toggle([element.dataset["id"]!], (element as HTMLInputElement).checked),
  "choose-all": (element) => {
    const ids = state.tasks?.tasks.map(({ id }) => id) ?? [];
    toggle(ids, (element as HTMLInputElement).checked);
  },
  window: (element) => {
    state.minutes = Number(element.dataset["minutes"]);
    state.chartAt = undefined;
    void look();
  },
  more: () => {
    state.max = 200;
    void look();
  },
  no: close,
  yes: () => {
    const { question } = state;
    close();
    question?.onYes();
  },
  pause: () => void change("pause", {}),
  resume: () => void change("resume", {}),
  redrive: () => void change("redrive", { ids: meant() }),
  "redrive-all": () =>
    confirm("Redrive all?", "All dead letters are tried again, with all their tries.", "Redrive", "redrive"),
  discard: () =>
    confirm(
      "Discard?",
      `${tasksMeant()} will be forgotten. This cannot be undone.`,
      "Discard",
      "discard",
      meant(),
    ),
  "discard-all": () =>
    confirm(
      "Discard all?",
      "All dead letters will be forgotten. This cannot be undone.",
      "Discard",
      "discard",
    ),
  cancel: () =>
    confirm("Cancel?", `${tasksMeant()} will end at once, children too.`, "End now", "cancel", meant()),
};

/** The task one looks at, or those that are ticked. */
function meant(): readonly string[] {
  return state.place.at === "task" ? [state.place.id] : [...state.chosen];
}

function tasksMeant(): string {
  return state.place.at === "task" ? "The task" : count(state.chosen.size, "task");
}

/** Asks before it changes something: those tasks, or all dead letters. */
function confirm(title: string, text: string, yes: string, action: Action, ids?: readonly string[]): void {
  const wish = ids === undefined ? ({ all: true } as const) : { ids };
  state.question = { title, text, yes, onYes: () => void change(action, wish) };
  render();
}

function close(): void {
  state.question = undefined;
  render();
}

async function change(action: Action, wish: Parameters<typeof act>[2]): Promise<void> {
  const { place } = state;
  if (place.at === "overview") return;
  state.isBusy = true;
  render();
  try {
    const { changed, asked } = await act(place.queue, action, wish);
    state.chosen.clear();
    state.notice = noticeOf(action, changed, asked);
    if (action === "discard" && place.at === "task" && changed > 0)
      location.hash = linkTo({ at: "queue", queue: place.queue, state: "failed" });
  } catch (error) {
    state.notice = error instanceof Error ? error.message : String(error);
  }
  state.isBusy = false;
  fade();
  await look();
}

/** Leads to the task of an ID; to one of the queue one looks at, if several have it. */
async function find(form: HTMLFormElement): Promise<void> {
  const id = form.querySelector("input")!.value.trim();
  if (id === "") return;
  try {
    const { queues, silent } = await findTask(id);
    const { place } = state;
    const [queue] = place.at !== "overview" && queues.includes(place.queue) ? [place.queue] : queues;
    if (queue !== undefined) {
      form.reset();
      location.hash = linkTo({ at: "task", queue, id });
      return;
    }
    const rest = silent.length === 0 ? "" : ` ${silent.join(", ")} could not be asked.`;
    state.notice = `No task has this ID, or it is no longer kept.${rest}`;
  } catch (error) {
    state.notice = error instanceof Error ? error.message : String(error);
  }
  fade();
  render();
}

/** What is said of a deed is said for a while. */
function fade(): void {
  const { notice } = state;
  setTimeout(() => {
    if (state.notice === notice) state.notice = undefined;
  }, 6_000);
}

function noticeOf(action: Action, changed: number, asked: number): string {
  if (action === "pause") return "Nothing is started any more; what runs goes on.";
  if (action === "resume") return "Tasks are started again.";
  const done = { redrive: "redriven", discard: "discarded", cancel: "cancelled" }[action];
  const rest = asked > changed ? `; ${asked - changed} had changed before, or cannot be` : "";
  return `${count(changed, "task")} ${done}${rest}.`;
}

function toggle(ids: readonly string[], isChosen: boolean): void {
  for (const id of ids)
    if (isChosen) state.chosen.add(id);
    else state.chosen.delete(id);
  render();
}

function lookIntoChart(event: PointerEvent): void {
  const svg = event.target instanceof Element ? event.target.closest("svg[data-chart]") : null;
  const times = state.view?.queue.points.map(({ at }) => at) ?? [];
  if (svg === null || times.length === 0) {
    moveInChart(undefined);
    return;
  }
  const { left, width } = svg.getBoundingClientRect();
  const start = plotStart(width);
  const share = ((event.clientX - left) / width - start) / (1 - start);
  const { from, to } = chartSpan(state, state.view!.queue.points, state.view!.now);
  moveInChart(nearest(times, from, to, share));
}

function moveInChart(index: number | undefined): void {
  if (index === state.chartAt) return;
  state.chartAt = index;
  render();
}

function onKey(event: KeyboardEvent): void {
  if (event.key === "Escape" && state.question !== undefined) {
    event.preventDefault();
    close();
    return;
  }
  const isInChart = event.target instanceof Element && event.target.matches("svg[data-chart]");
  const last = (state.view?.queue.points.length ?? 0) - 1;
  if (!isInChart || last < 0) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  moveInChart(Math.min(last, Math.max(0, (state.chartAt ?? last) + step)));
}
