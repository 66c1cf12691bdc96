// Small pieces that several views show.
import type { TaskStatus } from "../../task/task-status.ts";
import type { Child, Shape } from "./dom.ts";
import { h } from "./dom.ts";
import type { PageState } from "./state.ts";

/** A button that does what it is called, by its `data-do`. */
export function button(action: string, label: string, { isBusy }: PageState, look = ""): Shape {
  return h(
    "button",
    { type: "button", key: action, class: look, disabled: isBusy, "data-do": action },
    label,
  );
}

export function stateBadge({ state }: { readonly state: TaskStatus["state"] }): Shape {
  return h("span", { class: `badge ${state}` }, state);
}

/** A bar, where what was reported is a share or a percentage. */
export function progressOf(task: TaskStatus): Child {
  const share = shareOf(task.progress);
  if (share === undefined || task.state !== "running") return undefined;
  const percent = Math.round(share * 100);
  return h("progress", { max: 1, value: share, "aria-label": "Progress" }, `${percent} %`);
}

/** From 0 to 1: of `{ done: 0.4 }`, `{ percent: 40 }` or `40`. */
export function shareOf(progress: unknown): number | undefined {
  if (typeof progress === "number") return within(progress / 100);
  if (typeof progress !== "object" || progress === null) return undefined;
  const { done, percent, total } = progress as Readonly<Record<string, unknown>>;
  if (typeof percent === "number") return within(percent / 100);
  if (typeof done !== "number") return undefined;
  return typeof total === "number" && total > 0 ? within(done / total) : within(done);
}

function within(share: number): number | undefined {
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : undefined;
}
