// One call in a batch, as the script reads it; and whoever waits for its answer.
import type { Limit } from "../limits/limit.ts";
import type { TakeMode } from "../store.ts";

/** What the script can do, by number. */
const VERBS: Readonly<Record<Verb, number>> = {
  take: 1,
  peek: 2,
  spend: 3,
  refund: 4,
  renew: 5,
  block: 6,
  reset: 7,
  borrow: 8,
};

export type Verb = TakeMode | "refund" | "renew" | "block" | "reset" | "borrow";

/** Numbers that the script answers for each limit that it decides on. */
export const ANSWERS_PER_LIMIT = 5;

interface CallParts<T> {
  readonly verb: Verb;
  readonly limits: readonly Limit[];
  readonly keys: readonly string[];
  readonly costs: readonly number[];
  readonly marks: readonly number[];
  readonly read: (answers: readonly number[], at: number) => T;
  /** Told what came of it when its caller had left. */
  readonly late: ((value: T) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export class ScriptCall {
  readonly keys: readonly string[];
  /** How many numbers it is answered with. */
  readonly answerLength: number;
  readonly resolve: (answers: readonly number[], at: number) => void;
  readonly reject: (error: unknown) => void;
  #over = false;
  readonly #limits: readonly Limit[];
  readonly #verb: Verb;
  readonly #costs: readonly number[];
  readonly #marks: readonly number[];

  private constructor(parts: CallParts<unknown>) {
    const { verb, limits, keys, costs, marks, read, late, signal } = parts;
    this.keys = keys;
    this.#verb = verb;
    this.#limits = limits;
    this.#costs = costs;
    this.#marks = marks;
    this.answerLength = answerLengthOf(verb, limits.length);
    const onAbort = (): void => {
      this.#over = true;
      parts.reject(signal?.reason as Error);
    };
    const end = (): boolean => {
      const wasOver = this.#over;
      this.#over = true;
      signal?.removeEventListener("abort", onAbort);
      return !wasOver;
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    this.resolve = (answers, at) => {
      const value = read(answers, at);
      if (end()) parts.resolve(value);
      else late?.(value);
    };
    this.reject = (error) => {
      if (end()) parts.reject(error as Error);
    };
  }

  static of<T>(parts: CallParts<T>): ScriptCall {
    return new ScriptCall(parts as CallParts<unknown>);
  }

  /** Whether its caller has left, so that it need not be sent. */
  get isOver(): boolean {
    return this.#over;
  }

  /** A batch, as the script's argument. */
  static encode(calls: readonly ScriptCall[]): string {
    const specs = new Map<Limit, number>();
    const list: (readonly (string | number)[])[] = [];
    const specOf = (limit: Limit): number => {
      let spec = specs.get(limit);
      if (spec === undefined) {
        spec = list.push([limit.rule.kind, ...limit.rule.parameters]);
        specs.set(limit, spec);
      }
      return spec;
    };
    const words: number[] = [];
    const keys = new Set<string>();
    let repeats = false;
    let last: ScriptCall | undefined;
    let lastAt = 0;
    for (const call of calls) {
      for (const key of call.keys) {
        repeats ||= keys.has(key);
        keys.add(key);
      }
      if (last !== undefined && call.#isLike(last)) {
        words[lastAt]! += 1;
        continue;
      }
      last = call;
      lastAt = words.length;
      words.push(1, VERBS[call.#verb], call.#limits.length);
      for (const [index, limit] of call.#limits.entries())
        words.push(specOf(limit), call.#costs[index]!, call.#marks[index] ?? 0);
    }
    return JSON.stringify([list, words, repeats]);
  }

  /** Whether it differs in nothing but its keys. */
  #isLike(other: ScriptCall): boolean {
    return (
      this.#limits === other.#limits &&
      this.#verb === other.#verb &&
      this.#marks.length === 0 &&
      other.#marks.length === 0 &&
      this.#costs.every((cost, index) => cost === other.#costs[index])
    );
  }
}

function answerLengthOf(verb: Verb, limits: number): number {
  if (verb === "take" || verb === "peek" || verb === "spend") return limits * ANSWERS_PER_LIMIT;
  if (verb === "borrow") return limits * ANSWERS_PER_LIMIT + 1;
  return verb === "renew" ? 1 : 0;
}
