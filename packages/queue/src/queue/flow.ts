// Flows: a task that begins when its children have ended, added together with them.
import { optionsOf } from "@holdfast/core";
import type { EnqueuedTask, EnqueueItem } from "./enqueue-options.ts";

/** What may be said about a task of a flow. */
export type FlowOptions = Omit<EnqueueItem<never>, "input" | "parent" | "dedupKey">;

/** A task and the children that it waits for before it begins. Made by {@link flow}. */
export interface FlowNode {
  readonly task: EnqueuedTask<never>;
  readonly input: unknown;
  readonly options: FlowOptions;
  readonly children: readonly FlowNode[];
}

/** A flow that was added. */
export interface EnqueuedFlow {
  readonly id: string;
  /** In their order. */
  readonly children: readonly EnqueuedFlow[];
}

/** A task of a flow, under the ID that it will have. */
export interface FlatNode {
  readonly node: FlowNode;
  readonly item: EnqueueItem<unknown> & { readonly id: string };
}

/** Most tasks of one flow. */
export const MAX_FLOW_TASKS = 1_000;

/**
 * A task for `queue.enqueueFlow`, typed by its own input, with the children that it waits for.
 *
 * @example
 * ```ts
 * import { defineTask, flow, handle, memoryStore, queue, worker } from "@holdfast/queue";
 *
 * const part = defineTask<number, number, number>({ name: "part" });
 * const whole = defineTask<string, string, string>({ name: "whole" });
 * const tasks = queue({ name: "tasks", store: memoryStore() });
 * const { id } = await tasks.enqueueFlow(flow(whole, "sum", { children: [flow(part, 1), flow(part, 2)] }));
 * await using _ = worker(tasks, [
 *   handle(part, ({ input }) => input * 10),
 *   handle(whole, async ({ input, step }) => {
 *     const parts = await step.children("parts", { mustComplete: true });
 *     const results = parts.map((one) => (one.state === "completed" ? Number(one.result) : 0));
 *     return `${input} ${results[0]! + results[1]!}`;
 *   }),
 * ]);
 * await tasks.wait(whole, id); // => "sum 30"
 * ```
 */
export function flow<Input>(
  task: EnqueuedTask<Input>,
  input: Input,
  options: FlowOptions & { readonly children?: readonly FlowNode[] } = {},
): FlowNode {
  const { children = [], ...rest } = options;
  return { task: task as EnqueuedTask<never>, input, options: rest, children };
}

/**
 * All tasks of a flow, parents before their children.
 *
 * @throws InvalidOptionError when there are more than 1,000.
 */
export function flattened(root: FlowNode, newId: () => string): readonly FlatNode[] {
  const flat: FlatNode[] = [];
  const line: { readonly node: FlowNode; readonly parent?: string }[] = [{ node: root }];
  for (const { node, parent } of line) {
    const id = node.options.id ?? newId();
    const above = parent === undefined ? {} : { parent };
    flat.push({ node, item: { ...node.options, ...above, id, input: node.input } });
    for (const child of node.children) line.push({ node: child, parent: id });
    if (line.length > MAX_FLOW_TASKS)
      optionsOf("enqueueFlow").refuse("root", root, `a flow of at most ${MAX_FLOW_TASKS} tasks`);
  }
  return flat;
}

/** The tree again, with the IDs of what was added. */
export function treeOf(flat: readonly FlatNode[]): EnqueuedFlow {
  const made = new Map<string, { id: string; children: EnqueuedFlow[] }>();
  for (const { item } of flat) {
    const tree = { id: item.id, children: [] };
    made.set(item.id, tree);
    if (item.parent !== undefined) made.get(item.parent)!.children.push(tree);
  }
  return made.get(flat[0]!.item.id)!;
}
