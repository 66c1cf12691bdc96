// Takes a prompt back from a ComfyUI server without ever hitting another: how depends on what the server can do.
import { ModelFailedError } from "../../errors.ts";
import type { ComfyUiQueue } from "./wire.ts";

/** Asks a server, in JSON, within a time and a size. */
export type Ask = (method: "GET" | "POST", path: string, body?: unknown) => Promise<unknown>;

/** From here on, `/interrupt` minds the ID it is given. Before, it ends whatever runs. */
const MINDS_IDS = [0, 3, 60] as const;

/**
 * Asks a server to drop a prompt. What runs may go on for a while: ask again until it is gone.
 *
 * @param version - As `/system_stats` says; empty when it does not.
 */
export async function takeBack(
  ask: Ask,
  promptId: string,
  version: string,
): Promise<"running" | "pending" | "gone"> {
  if (!(await cancelled(ask, promptId))) await ask("POST", "/queue", { delete: [promptId] });
  const { queue_running = [], queue_pending = [] } = (await ask("GET", "/queue")) as ComfyUiQueue;
  if (!queue_running.some(([, id]) => id === promptId))
    return queue_pending.some(([, id]) => id === promptId) ? "pending" : "gone";
  // One that minds no IDs would hit whoever comes next if ours ended just now: only when there is nobody.
  if (mindsIds(version)) await ask("POST", "/interrupt", { prompt_id: promptId });
  else if (queue_pending.length === 0 && queue_running.length === 1) await ask("POST", "/interrupt", {});
  return "running";
}

/** The newest servers do it in one step. */
async function cancelled(ask: Ask, promptId: string): Promise<boolean> {
  try {
    await ask("POST", `/api/jobs/${promptId}/cancel`, {});
    return true;
  } catch (error) {
    if (error instanceof ModelFailedError && /^HTTP_40[45]$/.test(error.reason)) return false;
    throw error;
  }
}

function mindsIds(version: string): boolean {
  const parts = version.split(".").map((part) => Number.parseInt(part, 10));
  if (parts.length < 3 || parts.some(Number.isNaN)) return false;
  for (const [index, least] of MINDS_IDS.entries()) if (parts[index] !== least) return parts[index]! > least;
  return true;
}
