// One task on the page: its state, its progress, its events, its picture.
import type { TaskEvent } from "./api.ts";
import { cancelTask, resultUrl } from "./api.ts";
import type { Follower } from "./task-feed.ts";

/** Events shown at a time. */
const EVENTS_SHOWN = 5;

const STATES: Readonly<Record<string, string>> = {
  enqueued: "waiting",
  started: "running",
  retrying: "waiting",
  released: "waiting",
  lease_lost: "waiting",
  redriven: "waiting",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
};

export class TaskCard implements Follower {
  readonly element: HTMLLIElement;
  #state = "waiting";
  #startedAt = 0;

  constructor(
    readonly id: string,
    title: string,
    template: HTMLTemplateElement,
    private readonly onProblem: (error: unknown) => void,
  ) {
    this.element = (template.content.cloneNode(true) as DocumentFragment).querySelector("li")!;
    this.#part("h3").textContent = title;
    this.#part(".id").textContent = id;
    this.#part("progress").setAttribute("aria-label", `Progress of ${title}`);
    this.#part(".cancel").addEventListener("click", () => void cancelTask(id).catch(this.onProblem));
    this.#show("waiting", "waiting for a worker");
  }

  event(event: TaskEvent): void {
    if (event.type === "progress") {
      const done = event.value?.done ?? 0;
      (this.#part("progress") as HTMLProgressElement).value = done;
      this.#show("running", `running · ${Math.round(done * 100)} %`);
      return;
    }
    this.#log(event);
    const state = STATES[event.type];
    if (state === undefined) return;
    if (event.type === "started") this.#startedAt = event.at;
    if (state === "completed") this.#complete(event.at);
    else this.#show(state, describe(event, state));
  }

  gone(): void {
    if (!this.#isOver()) this.#show("failed", "the service does not know this task any more");
  }

  #complete(at: number): void {
    (this.#part("progress") as HTMLProgressElement).value = 1;
    this.#show("completed", `completed in ${((at - this.#startedAt) / 1_000).toFixed(1)} s`);
    const picture = document.createElement("img");
    picture.alt = `Result: ${this.#part("h3").textContent ?? ""}`;
    picture.src = resultUrl(this.id);
    this.#part(".picture").replaceChildren(picture);
    const link = this.#part(".open") as HTMLAnchorElement;
    link.href = resultUrl(this.id);
    link.hidden = false;
  }

  #show(state: string, text: string): void {
    this.#state = state;
    this.element.dataset["state"] = state;
    this.#part(".state").textContent = text;
    const isOver = this.#isOver();
    this.#part(".cancel").hidden = isOver;
    this.#part("progress").hidden = isOver;
  }

  #log(event: TaskEvent): void {
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date(event.at).toLocaleTimeString();
    line.append(time, event.type);
    const list = this.#part(".events");
    list.append(line);
    while (list.childElementCount > EVENTS_SHOWN) list.firstElementChild?.remove();
  }

  #isOver(): boolean {
    return ["completed", "failed", "cancelled"].includes(this.#state);
  }

  #part(selector: string): HTMLElement {
    return this.element.querySelector<HTMLElement>(selector)!;
  }
}

function describe({ type, reason, error }: TaskEvent, state: string): string {
  if (type === "failed") return `failed: ${error?.message ?? "for no known reason"}`;
  if (type === "cancelled") return reason ?? "cancelled";
  if (type === "retrying") return `tried again soon: ${error?.message ?? ""}`;
  return state === "waiting" ? "waiting for a worker" : state;
}
