// A store of circuits made of the rules alone, each of which a test may break.
import type { CircuitStore, CircuitWatcher, FleetCircuit } from "@holdfast/breaker";
import { ClosedError } from "@holdfast/core";
import type { ManualClock } from "@holdfast/core/testing";
import type { Change, FleetRecord, Moment } from "../../src/shared/fleet-record.ts";
import * as soundRules from "../../src/shared/fleet-record.ts";

export type Rules = Pick<typeof soundRules, "leaseProbe" | "probeEnded" | "recordAt" | "vote">;

/** What may be broken about a store: its rules, and what it does around them. */
export interface RuleStoreOptions {
  readonly clock: ManualClock;
  readonly keepMs: number;
  readonly rules?: (sound: Rules) => Partial<Rules>;
  readonly idOf?: (key: string) => string;
  /** Awaited between the look at a circuit and the write to it. */
  readonly pause?: () => Promise<void>;
  readonly nextGeneration?: (known: FleetRecord | undefined, now: number) => number;
  /** What watchers are told of a change; nothing if `undefined`. */
  readonly tell?: (circuit: FleetCircuit) => FleetCircuit | undefined;
  /** Whether who comes to watch is told what is open. */
  readonly tellsNewcomers?: boolean;
  readonly stops?: boolean;
  readonly closes?: boolean;
}

export function ruleStore(options: RuleStoreOptions): CircuitStore {
  const { clock, keepMs, rules, idOf, pause, nextGeneration, tell } = options;
  const use: Rules = { ...soundRules, ...rules?.(soundRules) };
  const records = new Map<string, FleetRecord>();
  const watchers = new Set<CircuitWatcher>();
  const id = idOf ?? ((key: string) => key);
  let last = 0;
  let isClosed = false;
  const look = (key: string): FleetCircuit => {
    if (isClosed) throw new ClosedError("the store");
    const now = clock.monotonic();
    return soundRules.circuitOf(key, use.recordAt(records.get(id(key)), now), now);
  };
  const change = async <Answer>(
    key: string,
    verb: (known: FleetRecord | undefined, moment: Moment) => Change<Answer>,
  ): Promise<{ readonly answer: Answer; readonly circuit: FleetCircuit }> => {
    const before = look(key);
    const known = records.get(id(key));
    const now = clock.monotonic();
    const moment = { now, keepMs, nextGeneration: () => nextGeneration?.(known, now) ?? (last += 1) };
    const { record, answer } = verb(known, moment);
    if (pause !== undefined) await pause();
    records.set(id(key), record);
    const after = look(key);
    const told = tell === undefined ? after : tell(after);
    if (told !== undefined && after.generation !== before.generation)
      for (const watcher of watchers) watcher.changed([told]);
    return { answer, circuit: after };
  };
  return {
    traits: { shared: false, clock: "caller" },
    read: async (key) => look(key),
    vote: async (vote) => (await change(vote.key, (known, moment) => use.vote(known, vote, moment))).circuit,
    leaseProbe: async (request) => {
      const { answer, circuit } = await change(request.key, (known, moment) =>
        use.leaseProbe(known, request, moment),
      );
      return { ...answer, circuit };
    },
    probeEnded: async (end) => {
      const { answer, circuit } = await change(end.key, (known, moment) =>
        use.probeEnded(known, end, moment),
      );
      return { ...answer, circuit };
    },
    watch: (watcher) => {
      if (isClosed) throw new ClosedError("the store");
      const watch = { changed: watcher.changed.bind(watcher), lost: watcher.lost.bind(watcher) };
      watchers.add(watch);
      const open = [...records.keys()].map(look).filter(({ state }) => state === "open");
      watch.changed(options.tellsNewcomers === false ? [] : open);
      return () => void (options.stops === false ? undefined : watchers.delete(watch));
    },
    close: async () => {
      isClosed = options.closes !== false;
      watchers.clear();
    },
  };
}
