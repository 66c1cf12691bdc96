// The state of queue and workers, looked at once a second while somebody looks at the page.
import { serviceState } from "./api.ts";
import { deviceRows, droppedOf, modelRows } from "./pool-view.ts";

const EVERY_MS = 1_000;

/** Keeps the page's view of the service current. */
export function watchService(): void {
  const look = async (): Promise<void> => {
    if (!document.hidden) await show();
    setTimeout(() => void look(), EVERY_MS);
  };
  void look();
  document.addEventListener("visibilitychange", () => void (document.hidden ? undefined : show()));
}

async function show(): Promise<void> {
  try {
    const { queue, live, limit, retryAfterMs, pool, intake } = await serviceState();
    const pools = [pool, intake];
    const isWell = pools.every(({ devices }) => devices.every(({ status }) => status === "up"));
    say(isWell ? "up" : "degraded", isWell ? "up" : "degraded");
    for (const field of document.querySelectorAll<HTMLElement>("#queue [data-field]"))
      field.textContent = String(queue[field.dataset["field"] ?? ""] ?? 0);
    find("#queue [data-pool=dropped]").textContent = String(droppedOf(pools));
    showRoom(live, limit, retryAfterMs);
    find("#devices").replaceChildren(...deviceRows(pools));
    find("#models tbody").replaceChildren(...modelRows(pools));
  } catch {
    say("down", "not reachable");
  }
}

/** How full the queue is; once it is, when it is worth coming back. */
function showRoom(live: number, limit: number, retryAfterMs: number): void {
  const meter = find("#room") as HTMLMeterElement;
  meter.max = limit;
  meter.low = limit * 0.5;
  meter.high = limit * 0.85;
  meter.value = live;
  const isFull = live >= limit;
  find("#room-text").textContent = isFull
    ? `full · come back in ${Math.ceil(retryAfterMs / 1_000)} s`
    : `room for ${limit - live} more of ${limit}`;
}

function find(selector: string): HTMLElement {
  return document.querySelector<HTMLElement>(selector)!;
}

function say(state: string, text: string): void {
  const element = find("#service");
  if (element.dataset["state"] === state) return;
  element.dataset["state"] = state;
  element.querySelector("b")!.textContent = text;
}
