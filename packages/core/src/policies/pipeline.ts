// Pipeline: several policies as one, the first of them outermost.
import { optionsOf } from "../options.ts";
import { channel } from "../telemetry/channel.ts";
import type { RunOptions } from "./context.ts";
import type { OrderWarning, PipelineExplanation } from "./explain.ts";
import { explainOrder } from "./explain.ts";
import type { ExtraOf, Policy, PolicyDescription, PolicySnapshot, Task } from "./policy.ts";

/** Several policies as one. */
export interface Pipeline<out Extra = never> extends Policy<Extra> {
  readonly kind: "pipeline";
  /** Outermost first. The layers of a pipeline that was given are in here one by one. */
  readonly layers: readonly Policy<unknown>[];
  /** The layers in words, and what is doubtful about their order. */
  explain(): PipelineExplanation;
}

/** Published as `holdfast:core:pipeline_warning`, once per warning, when a pipeline is made. */
export interface PipelineWarningEvent extends OrderWarning {
  /** Kinds of the layers, outermost first. */
  readonly layers: readonly string[];
}

const warned = /* @__PURE__ */ channel<PipelineWarningEvent>("core", "pipeline_warning");

/**
 * Runs a task under several policies, the first outermost: `pipeline(a, b).run(task)` is
 * `a.run((context) => b.run(task, context))`. An order that usually works: fallback, timeout for the whole call,
 * retry, circuit breaker, timeout per try.
 *
 * @throws InvalidOptionError when there is no policy, or something that is none.
 *
 * @example
 * ```ts
 * import { pipeline, retry, timeout } from "@holdfast/core";
 *
 * const calls = pipeline(timeout("10s"), retry({ attempts: 3 }), timeout("2s"));
 * await calls.run(() => "done"); // => "done"
 * calls.explain().warnings; // => []
 * ```
 */
export function pipeline<const Policies extends readonly Policy<unknown>[]>(
  ...policies: Policies
): Pipeline<ExtraOf<Policies[number]>> {
  const check = optionsOf("pipeline");
  if (policies.length === 0) check.refuse("policies", policies, "at least one policy");
  for (const [index, policy] of policies.entries())
    if (typeof policy?.run !== "function" || typeof policy.describe !== "function")
      check.refuse(`policies[${index}]`, policy, "a policy: what retry(), timeout() and their like return");
  const made = new Layers<ExtraOf<Policies[number]>>(policies.flatMap(layersOf));
  if (warned.hasSubscribers) publishWarnings(made);
  return made;
}

class Layers<out Extra> implements Pipeline<Extra> {
  readonly kind = "pipeline";
  readonly name = "pipeline";

  constructor(readonly layers: readonly Policy<unknown>[]) {}

  run<T>(task: Task<T>, options?: RunOptions): Promise<T | Extra> {
    return runFrom(this.layers, 0, task, options) as Promise<T | Extra>;
  }

  snapshot(): PolicySnapshot {
    return { kind: this.kind, name: this.name, layers: this.layers.map((layer) => layer.snapshot()) };
  }

  describe(): PolicyDescription {
    const layers = this.layers.map((layer) => layer.describe());
    return {
      kind: this.kind,
      name: this.name,
      summary: layers.map(({ kind }) => kind).join(" > "),
      maxRuns: layers.reduce((product, { maxRuns }) => product * (maxRuns ?? 1), 1),
      layers,
    };
  }

  explain(): PipelineExplanation {
    return explainOrder(this.layers.map((layer) => layer.describe()));
  }
}

function runFrom(
  layers: readonly Policy<unknown>[],
  index: number,
  task: Task<unknown>,
  options: RunOptions | undefined,
): Promise<unknown> {
  const layer = layers[index]!;
  if (index === layers.length - 1) return layer.run(task, options);
  return layer.run((context) => runFrom(layers, index + 1, task, context), options);
}

function layersOf(policy: Policy<unknown>): readonly Policy<unknown>[] {
  return policy instanceof Layers ? policy.layers : [policy];
}

function publishWarnings(made: Pipeline<unknown>): void {
  const layers = made.layers.map(({ kind }) => kind);
  for (const warning of made.explain().warnings) warned.publish({ ...warning, layers });
}
