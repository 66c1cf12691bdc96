// What the devices do, and where the models are.
import type { DeviceState, ModelState, PoolState } from "./api.ts";

/** Rows for every device, what it runs and how full its memory is. */
export function deviceRows(pools: readonly PoolState[]): readonly HTMLElement[] {
  return pools.flatMap(({ devices }) => devices).map(rowOfDevice);
}

/** A row for every model: on how many of its devices it is loaded, what waits for it, and how large its batches are. */
export function modelRows(pools: readonly PoolState[]): readonly HTMLElement[] {
  return pools.flatMap(({ devices, modelStates }) =>
    modelStates.map((model) => rowOfModel(model, devices.length)),
  );
}

/** Requests that a pool has not run, or not to their end: too late, refused, or lost with their worker. */
export function droppedOf(pools: readonly PoolState[]): number {
  const counts = pools.map(
    ({ ended }) => (ended["deadline"] ?? 0) + (ended["refused"] ?? 0) + (ended["crashed"] ?? 0),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function rowOfDevice({ id, status, running, memoryBytes, usedBytes = 0 }: DeviceState): HTMLElement {
  const [job] = running;
  const row = element("li", { state: job === undefined ? status : "busy" });
  const together = new Set(running.map(({ batch }) => batch)).size;
  const size = running.length > together ? ` × ${running.length}` : "";
  const idle = status === "up" ? "idle" : status;
  const what = job === undefined ? idle : `${nameOf(job.model)}${size} · ${(job.ranMs / 1_000).toFixed(1)} s`;
  row.append(text("code", id), text("span", what));
  if (memoryBytes !== undefined) {
    const meter = document.createElement("meter");
    Object.assign(meter, { min: 0, max: memoryBytes, value: usedBytes, title: "memory taken by models" });
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
    row.append(meter, text("small", `${megabytes(usedBytes)} of ${megabytes(memoryBytes)} MB`));
  }
  return row;
}

function rowOfModel(
  { key, devices, loading, waiting, batches, batched }: ModelState,
  of: number,
): HTMLElement {
  const row = element("tr", { state: loading > 0 ? "loading" : devices.length > 0 ? "loaded" : "cold" });
  const name = text("th", nameOf(key));
  name.scope = "row";
  const mean = batches === 0 ? "–" : (batched / batches).toFixed(1);
  row.append(name, text("td", loading > 0 ? `loading` : `${devices.length} of ${of}`));
  for (const cell of [String(waiting), mean, String(batched)]) row.append(text("td", cell));
  return row;
}

/** The version only where it says something. */
function nameOf(key: string): string {
  return key.endsWith("@1") ? key.slice(0, -2) : key;
}

function element(tag: string, data: Readonly<Record<string, string>>): HTMLElement {
  const made = document.createElement(tag);
  Object.assign(made.dataset, data);
  return made;
}

function text<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  content: string,
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}
