// Steps that add children to a task, and wait for them.
import { hasCode } from "@holdfast/core";
import type { TaskStatus } from "../task/task-status.ts";
import { hasEnded } from "../task/task-status.ts";
import type { TaskDefinition } from "../task/task.ts";
import type { ChildOutcome, ChildTask, JoinOptions, SpawnOptions } from "./children-contract.ts";
import { ChildFailedError } from "./errors.ts";
import type { StepEngine } from "./step-engine.ts";
import { leftBehind } from "./step-engine.ts";
import type { Reached } from "./step-waits.ts";

const MAX_ID = 100;
/** Results read at a time. */
const AT_A_TIME = 20;

/** Adds a child under an ID that is the same in every run, so that it is added once. */
export async function spawnChild<Input, Output>(
  engine: StepEngine,
  step: string,
  task: TaskDefinition<Input, unknown, never, Output>,
  input: Input,
  options: SpawnOptions,
): Promise<Reached<ChildTask<Output>>> {
  const { host, journal } = engine;
  const record = await engine.begin(step, "spawn");
  if (record === "left behind") return leftBehind();
  if (record !== "new") return { value: { id: record.value as string, task: task as never } };
  const id = await childId(host.claimed.id, step);
  const { queue, claimed, signal } = host;
  try {
    await queue.enqueue(task, input, { ...options, id, parent: claimed.id, signal });
  } catch (error) {
    if (!hasCode(error, "TASK_EXISTS") || !(await isOurs(engine, id))) throw error;
  }
  await journal.record({ name: step, record: { kind: "spawn", value: id } });
  return { value: { id, task: task as never } };
}

/** Waits until these tasks have ended, or all children if none are named, and records what became of them. */
export async function joinChildren(
  engine: StepEngine,
  step: string,
  ids: readonly string[] | undefined,
): Promise<Reached<readonly ChildOutcome[]>> {
  const { host, journal, waits } = engine;
  const { store, name } = host.queue;
  const record = await engine.begin(step, "join");
  if (record === "left behind") return leftBehind();
  if (record !== "new") return { value: record.value as readonly ChildOutcome[] };
  const found = await (ids === undefined ? store.children(name, host.claimed.id) : store.get(name, ids));
  if (found.some((child) => child !== undefined && !hasEnded(child)))
    return { wait: waits.park({ children: true }) as Promise<never> };
  const outcomes: ChildOutcome[] = [];
  for (let from = 0; from < found.length; from += AT_A_TIME)
    outcomes.push(
      ...(await Promise.all(
        found
          .slice(from, from + AT_A_TIME)
          .map((child, at) => outcomeOf(engine, ids?.[from + at] ?? child!.id, child)),
      )),
    );
  await journal.record({ name: step, record: { kind: "join", value: outcomes } });
  return { value: outcomes };
}

/** @throws ChildFailedError when all of them were to complete, and one has not. */
export function checkCompleted(
  outcomes: readonly ChildOutcome[],
  { mustComplete = false }: JoinOptions,
): void {
  const failed = mustComplete ? outcomes.find(({ state }) => state !== "completed") : undefined;
  if (failed !== undefined && failed.state !== "completed") throw new ChildFailedError(failed.id, failed);
}

async function outcomeOf(
  { host }: StepEngine,
  id: string,
  child: TaskStatus | undefined,
): Promise<ChildOutcome> {
  if (child?.state === "failed") return { id, state: "failed", error: child.error };
  if (child?.state === "cancelled") return { id, state: "cancelled", reason: child.reason };
  if (child === undefined) return { id, state: "forgotten" };
  try {
    const stored = await host.queue.result(id);
    return { id, state: "completed", result: stored?.value };
  } catch (error) {
    if (hasCode(error, "TASK_NOT_FOUND")) return { id, state: "forgotten" };
    throw error;
  }
}

/** Whether a task that was there already is this one's child: added by a run that did not come to record it. */
async function isOurs({ host }: StepEngine, id: string): Promise<boolean> {
  const [status] = await host.queue.store.get(host.queue.name, [id]);
  return status?.parent === host.claimed.id;
}

/** Readable where an ID may be, else a digest. */
async function childId(parent: string, step: string): Promise<string> {
  const id = `${parent}:${step.replace("#", ":")}`;
  if (id.length <= MAX_ID && /^[\w.:-]+$/.test(id)) return id;
  const bytes = new TextEncoder().encode(`${parent}/${step}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `child-${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
