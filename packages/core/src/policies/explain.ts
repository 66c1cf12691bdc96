// Order rules: which arrangements of policies defeat each other, as a table over their kinds.
import type { PolicyDescription } from "./policy.ts";

/** An arrangement that does not do what it looks like. */
export interface OrderWarning {
  /** Stable, SCREAMING_SNAKE. */
  readonly code: string;
  /** `"warning"`: almost surely not meant. `"info"`: may be meant, has a consequence worth knowing. */
  readonly level: "warning" | "info";
  /** What happens, with the numbers of this pipeline. */
  readonly message: string;
  /** What to do about it. */
  readonly fix: string;
}

/** What a pipeline does, layer by layer, and what is doubtful about the order. */
export interface PipelineExplanation {
  /** Outermost first. */
  readonly layers: readonly PolicyDescription[];
  readonly warnings: readonly OrderWarning[];
  /** Both, for people: one line per layer, then one per warning. */
  readonly text: string;
}

/**
 * Explains an order of layers, outermost first. Goes by kinds alone, so that policies of other packages
 * (`"circuit-breaker"`, `"bulkhead"`, `"rate-limit"`, `"adaptive-limit"`) are judged like those of this one.
 *
 * @example
 * ```ts
 * import { explainOrder, retry } from "@holdfast/core";
 *
 * const twice = [retry({ attempts: 3 }).describe(), retry({ attempts: 4 }).describe()];
 * explainOrder(twice).warnings[0]?.code; // => "RETRY_TIMES_RETRY"
 * ```
 */
export function explainOrder(descriptions: readonly PolicyDescription[]): PipelineExplanation {
  const layers = descriptions.flatMap(flatten);
  const warnings = RULES.flatMap(({ code, level, find, fix }) => {
    const message = find(layers);
    return message === undefined ? [] : [{ code, level, message, fix }];
  });
  return { layers, warnings, text: textOf(layers, warnings) };
}

interface OrderRule {
  readonly code: string;
  readonly level: OrderWarning["level"];
  /** What is wrong with these layers, if this is. */
  readonly find: (layers: readonly PolicyDescription[]) => string | undefined;
  readonly fix: string;
}

type Layer = PolicyDescription;

/** In the order in which they are reported. */
const RULES: readonly OrderRule[] = [
  {
    code: "RETRY_TIMES_RETRY",
    level: "warning",
    find: (layers) => {
      const retries = layers.filter(({ kind }) => kind === "retry");
      return retries.length < 2 ? undefined : `retries multiply: ${multiplied(retries)}`;
    },
    fix: "keep one retry, nearest to the call that fails; or share one retryBudget between them",
  },
  {
    code: "RETRY_TIMES_HEDGE",
    level: "warning",
    find: (layers) => {
      const both = layers.filter(({ kind }) => kind === "retry" || kind === "hedge");
      const mixed = both.some(({ kind }) => kind === "retry") && both.some(({ kind }) => kind === "hedge");
      return mixed ? `retry and hedge multiply: ${multiplied(both)}` : undefined;
    },
    fix: "use one of them, or give both the same retryBudget",
  },
  {
    code: "PER_TRY_TIMEOUT_NEVER_FIRES",
    level: "warning",
    find: (layers) =>
      pair(layers, "timeout", "timeout", (outer, inner) =>
        (inner.limitMs ?? 0) >= (outer.limitMs ?? Infinity)
          ? `${named(inner)} (${inner.limitMs} ms) never fires: ${named(outer)} around it ends first (${outer.limitMs} ms)`
          : undefined,
      ),
    fix: "make the inner limit shorter than the outer one, or drop it",
  },
  {
    code: "FALLBACK_HIDES_FAILURES",
    level: "warning",
    find: (layers) =>
      pair(
        layers,
        ["retry", "hedge", "circuit-breaker"],
        "fallback",
        (outer, inner) => `${named(inner)} answers for a failure before ${named(outer)} can see it`,
      ),
    fix: "put the fallback outside",
  },
  {
    code: "BREAKER_MISSES_TIMEOUTS",
    level: "warning",
    find: (layers) =>
      pair(layers, "timeout", "circuit-breaker", (outer, inner, inside) =>
        has(inside, "timeout")
          ? undefined
          : `${named(inner)} never sees the timeouts of ${named(outer)}: a hanging callee does not open it`,
      ),
    fix: "put a timeout inside the circuit breaker",
  },
  {
    code: "BREAKER_INSIDE_HEDGE",
    level: "warning",
    find: (layers) =>
      pair(
        layers,
        "hedge",
        "circuit-breaker",
        (outer, inner) =>
          `${named(inner)} counts each run of ${named(outer)}, also those that are cancelled because another was faster`,
      ),
    fix: "put the circuit breaker outside the hedge",
  },
  {
    code: "CHAOS_NOT_INNERMOST",
    level: "warning",
    find: (layers) =>
      pair(
        layers,
        "chaos",
        "*",
        (outer, inner) => `faults of ${named(outer)} are not handled by ${named(inner)} inside it`,
      ),
    fix: "put chaos last, so that every other policy meets its faults",
  },
  {
    code: "RETRY_INSIDE_BREAKER",
    level: "info",
    find: (layers) =>
      pair(
        layers,
        "circuit-breaker",
        "retry",
        (outer, inner) =>
          `${named(outer)} sees one failure for all tries of ${named(inner)}, which goes on while it should open`,
      ),
    fix: "put the retry outside the circuit breaker",
  },
  {
    code: "LIMIT_INSIDE_REPEAT",
    level: "info",
    find: (layers) =>
      pair(
        layers,
        ["retry", "hedge"],
        ["bulkhead", "rate-limit", "adaptive-limit"],
        (outer, inner) =>
          `every run of ${named(outer)} queues and pays anew at ${named(inner)}, and its refusals are repeated`,
      ),
    fix: "put the limit outside, or keep its refusals from being repeated with retryOn",
  },
  {
    code: "NO_TIMEOUT_PER_TRY",
    level: "info",
    find: (layers) =>
      pair(layers, "timeout", "retry", (outer, inner, inside) =>
        has(inside, "timeout")
          ? undefined
          : `one try that hangs uses up all of ${named(outer)}, and ${named(inner)} never acts`,
      ),
    fix: "put a second, shorter timeout inside the retry",
  },
  {
    code: "TIMEOUT_PER_HEDGE",
    level: "info",
    find: (layers) =>
      pair(layers, "hedge", "timeout", (outer, inner, _inside, outside) =>
        has(outside, "timeout")
          ? undefined
          : `${named(inner)} starts again for each run of ${named(outer)}: the call may take longer`,
      ),
    fix: "put a timeout for the whole call outside the hedge",
  },
  {
    code: "FALLBACK_INSIDE_TIMEOUT",
    level: "info",
    find: (layers) =>
      pair(
        layers,
        "timeout",
        "fallback",
        (outer, inner) => `${named(inner)} does not answer when ${named(outer)} around it gives up`,
      ),
    fix: "put the fallback outside the timeout",
  },
];

/**
 * Finds the first layer of kind `outer` with one of kind `inner` anywhere inside it that `judge` has something to
 * say about. `inside` are the layers within `inner`, `outside` those around `outer`.
 */
function pair(
  layers: readonly Layer[],
  outer: string | readonly string[],
  inner: string | readonly string[],
  judge: (
    outer: Layer,
    inner: Layer,
    inside: readonly Layer[],
    outside: readonly Layer[],
  ) => string | undefined,
): string | undefined {
  for (const [at, around] of layers.entries()) {
    if (!matches(outer, around)) continue;
    for (let within = at + 1; within < layers.length; within += 1) {
      const candidate = layers[within]!;
      if (!matches(inner, candidate)) continue;
      const message = judge(around, candidate, layers.slice(within + 1), layers.slice(0, at));
      if (message !== undefined) return message;
    }
  }
  return undefined;
}

function matches(kinds: string | readonly string[], { kind }: Layer): boolean {
  return kinds === "*" || kinds === kind || (typeof kinds !== "string" && kinds.includes(kind));
}

function has(layers: readonly Layer[], kind: string): boolean {
  return layers.some((layer) => layer.kind === kind);
}

function multiplied(layers: readonly Layer[]): string {
  const runs = layers.map(({ maxRuns }) => maxRuns ?? 1);
  const product = runs.reduce((all, own) => all * own, 1);
  return `${runs.join(" × ")} = up to ${product} runs of the task for one call`;
}

function named({ kind, name }: Layer): string {
  return name === kind ? `the ${kind}` : `the ${kind} "${name}"`;
}

function flatten(description: PolicyDescription): readonly PolicyDescription[] {
  return description.layers === undefined ? [description] : description.layers.flatMap(flatten);
}

function textOf(layers: readonly Layer[], warnings: readonly OrderWarning[]): string {
  const lines = layers.map((layer, depth) => {
    const name = layer.name === layer.kind ? layer.kind : `${layer.kind} "${layer.name}"`;
    return `${"  ".repeat(depth)}${name}: ${layer.summary}`;
  });
  const task = `${"  ".repeat(layers.length)}task`;
  return [
    ...lines,
    task,
    ...warnings.map((each) => `${each.level} ${each.code}: ${each.message}. Fix: ${each.fix}.`),
  ].join("\n");
}
