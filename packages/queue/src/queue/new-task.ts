// Turns what is said about a task into what a store adds.
import { optionsOf } from "@holdfast/core";
import { NoParentError, TaskExistsError } from "../errors.ts";
import type { EnqueueOutcome, GroupLimit, NewTask } from "../store/store.ts";
import { MAX_WEIGHT } from "../store/store.ts";
import type { PayloadFormat } from "../task/payload-format.ts";
import { decodePayload } from "../task/payload.ts";
import type { TaskIdMaker } from "../task/task-id.ts";
import { writeMeta } from "../task/task-meta.ts";
import type { Enqueued, EnqueuedTask, EnqueueItem, GroupOptions } from "./enqueue-options.ts";

const check: ReturnType<typeof optionsOf> = /* @__PURE__ */ optionsOf("enqueue");

/** What all tasks of a queue share. */
export interface NewTaskSettings {
  readonly taskId: TaskIdMaker;
  readonly now: () => number;
  readonly payloads: PayloadFormat;
  /** What is said about a task that says nothing of it itself. */
  readonly defaults: Pick<EnqueueItem<never>, "expiresIn"> & {
    readonly attempts: number;
    readonly leaseLosses: number;
  };
  readonly groupLimit: ((key: string) => Omit<GroupOptions, "key"> | undefined) | undefined;
  readonly weightOf: ((tenant: string) => number | undefined) | undefined;
}

/** @throws InvalidOptionError, PayloadTooLargeError, UnserializableError */
export function newTask<Input>(
  task: EnqueuedTask<Input>,
  item: EnqueueItem<Input>,
  settings: NewTaskSettings,
): NewTask {
  const { id, delay, priority } = item;
  const made: NewTask = {
    id: id === undefined ? settings.taskId(settings.now()) : checkId(id),
    name: task.name,
    input: settings.payloads.encode(item.input),
    delayMs: delay === undefined ? 0 : check.duration("delay", delay),
    priority: priority === undefined ? 0 : check.integer("priority", priority, { min: -1_000, max: 1_000 }),
    maxAttempts: task.attempts ?? settings.defaults.attempts,
    maxLeaseLosses: task.leaseLosses ?? settings.defaults.leaseLosses,
    keepMs: task.keepMs,
    keepFailedMs: task.keepFailedMs,
  };
  const more = moreOf(task, item, settings);
  return more === undefined ? made : { ...made, ...more };
}

/** What most tasks do not say. */
function moreOf(
  { version }: EnqueuedTask<never>,
  item: EnqueueItem<unknown>,
  settings: NewTaskSettings,
): Partial<NewTask> | undefined {
  const { dedupKey, group, parent, tenant, weight } = item;
  const expiresIn = item.expiresIn ?? settings.defaults.expiresIn;
  const said = [expiresIn, dedupKey, group, parent, tenant, weight];
  if (version === 1 && said.every((one) => one === undefined)) return undefined;
  const meta = writeMeta(version, undefined);
  return {
    ...(expiresIn === undefined ? {} : { expireMs: check.duration("expiresIn", expiresIn) }),
    ...(meta === undefined ? {} : { meta }),
    ...(dedupKey === undefined ? {} : { dedupKey: check.string("dedupKey", dedupKey) }),
    ...(group === undefined ? {} : groupOf(group, settings)),
    ...(parent === undefined ? {} : { parent: checkId(parent) }),
    ...(tenant === undefined ? noTenant(item) : tenantOf(tenant, item, settings)),
  };
}

/** The task with its input as it is stored, once its schema has seen what the handler will get. */
export async function readyTask<Input>(
  task: EnqueuedTask<Input>,
  made: NewTask,
  { payloads }: NewTaskSettings,
  signal: AbortSignal | undefined,
): Promise<NewTask> {
  if (task.checksInput) await task.parseInput(decodePayload(made.input) as Input);
  if (payloads.plain) return made;
  const { id, name } = made;
  return { ...made, input: await payloads.seal(made.input, { id, part: "input", name }, signal) };
}

/** @throws TaskExistsError, NoParentError */
export function enqueuedOf({ outcome, id }: EnqueueOutcome): Enqueued {
  if (outcome === "exists") throw new TaskExistsError(id);
  if (outcome === "no_parent") throw new NoParentError(id);
  return { id, duplicate: outcome === "duplicate" };
}

function checkId(id: string): string {
  const text = check.string("id", id, 100);
  if (/^[\w.:-]+$/.test(text)) return text;
  return check.refuse("id", id, "letters, digits, dots, colons, hyphens and underscores");
}

function groupOf(
  given: string | GroupOptions,
  settings: NewTaskSettings,
): { readonly group: string; readonly groupLimit?: GroupLimit } {
  const group = check.string("group", typeof given === "object" ? given?.key : given);
  const limit = typeof given === "object" ? given : settings.groupLimit?.(group);
  if (limit === undefined || (limit.concurrency === undefined && limit.rate === undefined)) return { group };
  const concurrency = check.integer("group.concurrency", limit.concurrency, { min: 1, max: 100_000 }, 1);
  if (limit.rate === undefined) return { group, groupLimit: { concurrency } };
  const tasks = check.integer("group.rate.tasks", limit.rate.tasks, { min: 1, max: 1_000_000 });
  const perMs = check.duration("group.rate.per", limit.rate.per, { min: 1 });
  return { group, groupLimit: { concurrency, rate: { tasks, perMs } } };
}

function tenantOf(
  given: string,
  item: EnqueueItem<unknown>,
  settings: NewTaskSettings,
): { readonly tenant: string; readonly weight?: number } {
  const tenant = check.string("tenant", given);
  const weight = item.weight ?? settings.weightOf?.(tenant);
  if (weight === undefined) return { tenant };
  return { tenant, weight: check.integer("weight", weight, { min: 1, max: MAX_WEIGHT }) };
}

function noTenant({ weight }: EnqueueItem<unknown>): object {
  if (weight !== undefined) check.refuse("weight", weight, "given with a tenant");
  return {};
}
