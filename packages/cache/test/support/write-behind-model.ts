// Several processes with one log and one source, all in this process: they write, freeze, crash and take over from each other.
import type { LoadContext, WriteBehind, WriteContext, WriteLog } from "@holdfast/cache";
import { writeBehind } from "@holdfast/cache";
import type { Clock, Random } from "@holdfast/core";
import { constant } from "@holdfast/core";

/** A write that is under way to the source, and goes on whatever its signal says. */
export interface Landing {
  readonly process: Process;
  readonly key: string;
  readonly value: number;
  readonly fence: number;
  readonly succeed: () => void;
  readonly fail: () => void;
}

interface Process {
  readonly behind: WriteBehind<string, number>;
  /** Settles when it may go on. */
  gate: Promise<void>;
  thaw: (() => void) | undefined;
  isCrashed: boolean;
  /** What the log has taken of it. */
  readonly taken: Set<number>;
}

const LOADING: LoadContext<never> = {
  signal: new AbortController().signal,
  previous: undefined,
  reason: "miss",
};

export interface WorldOptions {
  readonly clock: Clock;
  readonly log: WriteLog;
  readonly processes: number;
  /** How long each way to the log takes. */
  readonly lagMs: number;
  readonly delayMs: number;
  readonly batches: boolean;
  /** Share of the calls to the log that fail: half of them before they have their effect, half of them after. */
  readonly faults: number;
  readonly random: Random;
  /** What the source does with fences; `true`: it refuses what is lower than one that it has seen. */
  readonly checksFences: boolean;
}

export class World {
  /** What the log has taken, in its order. */
  readonly taken = new Map<string, number[]>();
  readonly source = new Map<string, number>();
  readonly landings: Landing[] = [];
  readonly problems: string[] = [];
  readonly processes: Process[];
  /** Of each key, the newest write that was acknowledged. */
  readonly #acknowledged = new Map<string, number>();
  readonly #fences = new Map<string, number>();
  #values = 0;
  #disturbed = false;
  #faults: number;

  constructor(private readonly options: WorldOptions) {
    this.#faults = options.faults;
    this.processes = Array.from({ length: options.processes }, () => this.#start());
  }

  write(index: number, key: string): void {
    const value = (this.#values += 1);
    const process = this.#at(index);
    void process.behind.write(key, value).then(
      () => {
        // A later one of the same process may have taken its place on the way.
        const kept = this.taken.get(key)?.find((one) => one >= value && process.taken.has(one));
        if (kept === undefined)
          this.problems.push(`${value} of ${key} was acknowledged, and the log has none of it`);
        else if (this.#rank(key, kept) > this.#rank(key, this.#acknowledged.get(key)))
          this.#acknowledged.set(key, kept);
      },
      () => {},
    );
  }

  load(index: number, key: string): void {
    const least = this.#acknowledged.get(key);
    const check = (value: number | undefined): void => {
      if (this.#rank(key, value) < this.#rank(key, least))
        this.problems.push(`a reader of ${key} was given ${value}, though ${least} was acknowledged`);
    };
    void this.#at(index)
      .behind.load(key, LOADING)
      .then(check, () => {});
  }

  /** It ends at once; what it has sent to the source may still land. Another process starts. */
  crash(index: number): void {
    const process = this.#at(index);
    process.isCrashed = true;
    process.gate = new Promise(() => {});
    this.#disturbed = true;
    this.processes[index % this.processes.length] = this.#start();
  }

  freeze(index: number): void {
    const process = this.#at(index);
    if (process.thaw !== undefined) return;
    process.gate = new Promise((resolve) => (process.thaw = resolve));
    this.#disturbed = true;
  }

  thaw(index: number): void {
    const process = this.#at(index);
    process.thaw?.();
    process.thaw = undefined;
    process.gate = Promise.resolve();
  }

  land(index: number, isGood: boolean): void {
    const landing = this.landings[index % Math.max(1, this.landings.length)];
    if (isGood) landing?.succeed();
    else landing?.fail();
  }

  /** From now on the log answers always. */
  heal(): void {
    this.#faults = 0;
  }

  /** Whether the source has what the log took last of each key. */
  check(): void {
    for (const [key, values] of this.taken)
      if (this.source.get(key) !== values.at(-1))
        this.problems.push(`the source ends with ${this.source.get(key)} of ${key}, not ${values.at(-1)}`);
  }

  #at(index: number): Process {
    return this.processes[index % this.processes.length]!;
  }

  /** How new a value is; 0: there is none. */
  #rank(key: string, value: number | undefined): number {
    return value === undefined ? 0 : 1 + (this.taken.get(key)?.indexOf(value) ?? -1);
  }

  #start(): Process {
    const { clock, delayMs, batches } = this.options;
    const one = (key: string, value: number, { fence }: Pick<WriteContext, "fence">): Promise<void> =>
      this.#send(process, key, value, fence);
    const process: Process = {
      gate: Promise.resolve(),
      thaw: undefined,
      isCrashed: false,
      taken: new Set(),
      behind: writeBehind<string, number>({
        clock,
        log: this.#logOf(() => process),
        delay: delayMs,
        lease: 200,
        pollInterval: 50,
        concurrency: 2,
        writeDeadline: "1h",
        backoff: constant(20),
        judge: () => "wait",
        load: async (key) => this.source.get(key),
        ...(batches
          ? {
              maxBatch: 2,
              writeMany: (entries) =>
                Promise.all(
                  entries.map(({ key, value, fence }) =>
                    one(key, value, { fence }).then(
                      () => undefined,
                      (error: unknown) => error,
                    ),
                  ),
                ),
            }
          : { write: one }),
      }),
    };
    return process;
  }

  #send(process: Process, key: string, value: number, fence: number): Promise<void> {
    if (process.isCrashed) return new Promise(() => {});
    const others = this.landings.filter((landing) => landing.key === key);
    if (!this.#disturbed && others.length > 0)
      this.problems.push(`${key} is written ${others.length + 1} times at once`);
    return new Promise((resolve, reject) => {
      const leave = (): void => void this.landings.splice(this.landings.indexOf(landing), 1);
      const landing: Landing = {
        process,
        key,
        value,
        fence,
        succeed: () => {
          leave();
          if (this.options.checksFences && fence < (this.#fences.get(key) ?? 0)) {
            reject(new Error("an old fence"));
            return;
          }
          this.#fences.set(key, Math.max(fence, this.#fences.get(key) ?? 0));
          if (this.#rank(key, value) < this.#rank(key, this.source.get(key)))
            this.problems.push(`${value} of ${key} came after ${this.source.get(key)}`);
          this.source.set(key, value);
          resolve();
        },
        fail: () => {
          leave();
          reject(new Error("down"));
        },
      };
      this.landings.push(landing);
    });
  }

  /** The log as a process sees it: slow, and beyond reach while it is frozen. */
  #logOf(processOf: () => Process): WriteLog {
    const { clock, lagMs, log, random } = this.options;
    const lag = async (): Promise<void> => {
      if (lagMs > 0) await clock.sleep(lagMs);
      await processOf().gate;
    };
    const noted: WriteLog["append"] = async (request) => {
      const outcome = await log.append(request);
      if (outcome.kind === "appended") {
        // At once: nothing comes between a log's answer and this.
        const values = this.taken.get(requestKey(request.key)) ?? [];
        this.taken.set(requestKey(request.key), [...values, Number(request.value)]);
        processOf().taken.add(Number(request.value));
      }
      return outcome;
    };
    return new Proxy(log, {
      get: (target, name) => {
        if (name === "traits") return { ...log.traits, shared: this.options.processes > 1 };
        const value: unknown = name === "append" ? noted : Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return async (...args: unknown[]) => {
          const draw = random();
          await lag();
          if (draw < this.#faults / 2) throw new Error("the log cannot be asked");
          const answer: unknown = await Reflect.apply(value, target, args);
          await lag();
          if (draw < this.#faults) throw new Error("the log's answer was lost");
          return answer;
        };
      },
    });
  }
}

function requestKey(text: string): string {
  return JSON.parse(text) as string;
}
