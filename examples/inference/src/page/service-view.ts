// The state of queue and workers, looked at once a second while somebody looks at the page.
import type { DeviceState } from "./api.ts";
import { serviceState } from "./api.ts";

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
    const { queue, pool, intake } = await serviceState();
    const devices = [...pool.devices, ...intake.devices];
    const isWell = devices.every(({ status }) => status === "up");
    say(isWell ? "up" : "degraded", isWell ? "up" : "degraded");
    for (const field of document.querySelectorAll<HTMLElement>("#queue [data-field]"))
      field.textContent = String(queue[field.dataset["field"] ?? ""] ?? 0);
    document.querySelector("#devices")!.replaceChildren(...devices.map(rowOf));
  } catch {
    say("down", "not reachable");
  }
}

function say(state: string, text: string): void {
  const element = document.querySelector<HTMLElement>("#service")!;
  if (element.dataset["state"] === state) return;
  element.dataset["state"] = state;
  element.querySelector("b")!.textContent = text;
}

function rowOf({ id, status, running }: DeviceState): HTMLLIElement {
  const row = document.createElement("li");
  const [job] = running;
  row.dataset["state"] = job === undefined ? status : "busy";
  const name = document.createElement("code");
  name.textContent = id;
  const what = document.createElement("span");
  const idle = status === "up" ? "idle" : status;
  what.textContent = job === undefined ? idle : `${job.model} · ${(job.ranMs / 1_000).toFixed(1)} s`;
  row.append(name, what);
  return row;
}
