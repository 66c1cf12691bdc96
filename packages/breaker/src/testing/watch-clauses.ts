// What those who watch are told.
import type { CircuitStore, FleetCircuit } from "../shared/store.ts";
import { same } from "@holdfast/core/testing";
import type { Clause, Trial } from "./trial.ts";

/** Watches one circuit. */
function watch(trial: Trial, store: CircuitStore = trial.store) {
  const told: FleetCircuit[] = [];
  let calls = 0;
  const stop = store.watch({
    changed: (circuits) => {
      calls += 1;
      told.push(...circuits.filter(({ key }) => key === trial.key));
    },
    lost: () => {},
  });
  return {
    stop,
    get calls() {
      return calls;
    },
    get last() {
      return told.at(-1);
    },
  };
}

export const watchClauses: readonly Clause[] = [
  {
    title: "says that it is there, also when nothing is open",
    check: async (t) => {
      const watched = watch(t);
      await t.until(() => watched.calls > 0, "nothing was said");
      watched.stop();
    },
  },
  {
    title: "tells who comes to watch what is open, to all of them",
    check: async (t) => {
      const first = watch(t);
      const { generation } = await t.open(t.key, { initialMs: 500 * t.spanMs, maxMs: 500 * t.spanMs });
      await t.until(() => first.last !== undefined, "the first was not told");
      const second = watch(t);
      await t.until(() => second.last !== undefined, "the second was not told");
      for (const { last } of [first, second])
        same([last?.state, last?.generation], ["open", generation], "what was told");
      const openForMs = second.last?.openForMs ?? 0;
      same(openForMs > 400 * t.spanMs && openForMs <= 500 * t.spanMs, true, `open for ${openForMs} ms`);
      first.stop();
      second.stop();
    },
  },
  {
    title: "tells of every change: it opens, it opens anew, it closes",
    check: async (t) => {
      const watched = watch(t);
      await t.until(() => watched.calls > 0, "nothing was said");
      let circuit = await t.openToProbes();
      await t.until(() => watched.last?.generation === circuit.generation, "not told that it has opened");
      circuit = await t.heard(await t.lease("p", circuit, 1, 50), "failed");
      await t.until(
        () => watched.last?.generation === circuit.generation,
        "not told that it has opened anew",
      );
      same(watched.last?.opens, 2, "how often it has opened, as told");
      await t.advance(2 * t.spanMs);
      circuit = await t.heard(await t.lease("q", circuit, 1, 50), "succeeded");
      await t.until(() => watched.last?.generation === circuit.generation, "not told that it has closed");
      same(watched.last?.state, "closed", "the state that is told");
      watched.stop();
    },
  },
  {
    title: "tells nothing to who has stopped watching, and goes on for the others",
    check: async (t) => {
      const [gone, there] = [watch(t), watch(t)];
      gone.stop();
      gone.stop();
      await t.open();
      await t.until(() => there.last !== undefined, "the other was not told");
      same(gone.last, undefined, "what was told to who has stopped");
      there.stop();
    },
  },
];
