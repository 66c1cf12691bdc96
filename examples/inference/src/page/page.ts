// The page: two forms, a list of tasks, and the state of the service.
import type { TaskBody } from "./api.ts";
import { submitImage, submitPrompt } from "./api.ts";
import { watchService } from "./service-view.ts";
import { TaskCard } from "./task-card.ts";
import { TaskFeed } from "./task-feed.ts";

/** Tasks shown at a time, and remembered over a reload. */
const TASKS_SHOWN = 12;
const REMEMBERED = "holdfast.tasks";

interface Remembered {
  readonly id: string;
  readonly title: string;
}

const feed = new TaskFeed();
const list = byId("tasks", HTMLOListElement);
const image = byId("image", HTMLInputElement);
const drop = byId("drop", HTMLElement);

onSubmit("prompt-form", () => {
  const prompt = byId("prompt", HTMLTextAreaElement).value.trim();
  return add(prompt, submitPrompt(prompt));
});
onSubmit("image-form", () => {
  const file = image.files?.[0];
  const operation = byId("op", HTMLSelectElement);
  const label = operation.selectedOptions[0]?.textContent ?? "";
  if (file === undefined) return Promise.resolve();
  return add(`${label}: ${file.name}`, submitImage(file, operation.value));
});
image.addEventListener("change", showFileName);
acceptDrops();
for (const { id, title } of remembered()) show(id, title);
watchService();

async function add(title: string, submitted: Promise<TaskBody>): Promise<void> {
  const { id } = await submitted;
  remember([...remembered(), { id, title }].slice(-TASKS_SHOWN));
  show(id, title);
}

function show(id: string, title: string): void {
  const card = new TaskCard(id, title, byId("task-template", HTMLTemplateElement), showProblem);
  list.prepend(card.element);
  while (list.childElementCount > TASKS_SHOWN) list.lastElementChild?.remove();
  feed.follow(id, card);
}

function onSubmit(form: string, submit: () => Promise<void>): void {
  const element = byId(form, HTMLFormElement);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = element.querySelector("button")!;
    button.disabled = true;
    byId("problem", HTMLElement).textContent = "";
    void submit()
      .catch(showProblem)
      .finally(() => (button.disabled = false));
  });
}

function acceptDrops(): void {
  for (const type of ["dragenter", "dragover", "dragleave", "drop"])
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    });
  drop.addEventListener("drop", (event) => {
    if (event.dataTransfer === null) return;
    image.files = event.dataTransfer.files;
    showFileName();
  });
}

function showFileName(): void {
  byId("image-name", HTMLElement).textContent =
    image.files?.[0]?.name ?? "Drop a PNG or JPEG here, or choose one";
}

function showProblem(error: unknown): void {
  byId("problem", HTMLElement).textContent = error instanceof Error ? error.message : String(error);
}

function remembered(): readonly Remembered[] {
  try {
    return JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "[]") as readonly Remembered[];
  } catch {
    return [];
  }
}

function remember(tasks: readonly Remembered[]): void {
  try {
    sessionStorage.setItem(REMEMBERED, JSON.stringify(tasks));
  } catch {
    // A browser that keeps nothing: the tasks are gone from the page with a reload, and from nowhere else.
  }
}

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${type.name} of the ID ${id}`);
}
