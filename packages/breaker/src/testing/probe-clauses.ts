// Who may probe, and what becomes of what probes have found.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const probeClauses: readonly Clause[] = [
  {
    title: "leases no probe of a circuit that is closed, or whose open time is not over",
    check: async (t) => {
      const unknown = await t.store.read(t.key);
      same((await t.ask("p", unknown)).granted, false, "a lease while it is closed");
      const { granted, retryAfterMs } = await t.ask(
        "p",
        await t.open(t.key, { initialMs: 50 * t.spanMs, maxMs: 50 * t.spanMs }),
      );
      same(granted, false, "a lease while it is open");
      ensure(
        retryAfterMs > 49 * t.spanMs && retryAfterMs <= 50 * t.spanMs,
        `to be asked again in ${retryAfterMs} ms`,
      );
    },
  },
  {
    title: "leases as many probes as it is told and no more, to however many ask at a time",
    check: async (t) => {
      const probing = await t.openToProbes();
      const asks = Array.from({ length: 20 }, (_, index) => t.ask(`p${index}`, probing, 3, 50));
      const answers = await Promise.all(asks);
      same(answers.filter(({ granted }) => granted).length, 3, "leases that were given");
      same((await t.store.read(t.key)).probing, 3, "probes that it says are out");
      const { granted, retryAfterMs } = await t.ask("late", probing, 3);
      same(granted, false, "one more");
      ensure(retryAfterMs > 0 && retryAfterMs <= 50 * t.spanMs, `to be asked again in ${retryAfterMs} ms`);
    },
  },
  {
    title: "gives who asks again, since the answer was lost, the same lease",
    check: async (t) => {
      const probing = await t.openToProbes();
      const held = await t.lease("p", probing, 1, 50);
      await t.lease("p", probing, 1, 50);
      same((await t.store.read(t.key)).probing, 1, "probes that are out");
      same((await t.heard(held, "succeeded")).state, "closed", "the state after its success");
    },
  },
  {
    title: "does not lengthen the lease of who asks again",
    exact: true,
    check: async (t) => {
      const probing = await t.openToProbes();
      const held = await t.lease("p", probing);
      await t.advance(t.spanMs - 1);
      await t.lease("p", probing);
      await t.advance(1);
      await t.unheard(held, "after the end of its first lease");
    },
  },
  {
    title: "leases no probe to who knows an older generation only",
    check: async (t) => {
      const opened = await t.openToProbes();
      const reopened = await t.heard(await t.lease("p", opened), "failed");
      await t.advance(2 * t.spanMs);
      const { granted, circuit } = await t.ask("q", opened);
      same(
        [granted, circuit.generation],
        [false, reopened.generation],
        "the lease, and the generation that it tells",
      );
    },
  },
  {
    title: "closes when as many have succeeded as it is told",
    check: async (t) => {
      const probing = await t.openToProbes();
      const [one, two] = [await t.lease("1", probing, 2, 50), await t.lease("2", probing, 2, 50)];
      const half = await t.heard(one, "succeeded", 2);
      same([half.state, half.probed, half.probing], ["open", 1, 1], "after one of two");
      same((await t.ask("3", probing, 2)).granted, false, "a lease beyond those that are needed");
      const closed = await t.heard(two, "succeeded", 2);
      same([closed.state, closed.probed, closed.openForMs], ["closed", 0, 0], "after two of two");
      ensure(closed.generation > probing.generation, "the generation grows when it closes");
    },
  },
  {
    title: "opens anew when one has failed, and hears the others no more",
    check: async (t) => {
      const probing = await t.openToProbes();
      const [one, two] = [await t.lease("1", probing, 2, 50), await t.lease("2", probing, 2, 50)];
      const reopened = await t.heard(one, "failed", 2);
      same([reopened.state, reopened.probing, reopened.opens], ["open", 0, 2], "after one has failed");
      ensure(reopened.generation > probing.generation, "the generation grows when it opens anew");
      await t.unheard(two, "of a generation that is over");
      await t.unheard(one, "a second time");
    },
  },
  {
    title: "forgets successes of before it has opened anew",
    check: async (t) => {
      const probing = await t.openToProbes();
      const [one, two] = [await t.lease("1", probing, 2, 50), await t.lease("2", probing, 2, 50)];
      await t.heard(one, "succeeded", 2);
      const reopened = await t.heard(two, "failed", 2);
      await t.advance(2 * t.spanMs);
      const next = await t.lease("3", reopened, 2, 50);
      const { state, probed } = await t.heard(next, "succeeded", 2);
      same([state, probed], ["open", 1], "after one of two successes since");
    },
  },
  {
    title: "gives the place of a probe that says nothing to another",
    check: async (t) => {
      const probing = await t.openToProbes();
      const circuit = await t.heard(await t.lease("p", probing, 1, 50), "forgotten");
      same([circuit.state, circuit.probing, circuit.probed], ["open", 0, 0], "after it was forgotten");
      same(circuit.generation, probing.generation, "the generation, of which nothing has changed");
      await t.lease("q", probing);
    },
  },
  {
    title: "frees the place of a lease that has run out, and hears its holder no more",
    check: async (t) => {
      const probing = await t.openToProbes();
      const paused = await t.lease("paused", probing);
      await t.advance(t.spanMs);
      same((await t.store.read(t.key)).probing, 0, "probes that are out");
      await t.unheard(paused, "after its lease has run out");
      const next = await t.lease("next", probing, 1, 50);
      await t.unheard(paused, "after its place was given to another");
      same((await t.heard(next, "succeeded")).state, "closed", "the state after the other's success");
      await t.unheard(paused, "after it has closed");
    },
  },
  {
    title: "holds a lease until the very end of it",
    exact: true,
    check: async (t) => {
      const probing = await t.openToProbes();
      await t.lease("p", probing);
      await t.advance(t.spanMs - 1);
      const { granted, retryAfterMs } = await t.ask("q", probing);
      same([granted, retryAfterMs], [false, 1], "a millisecond before its end");
      await t.advance(1);
      await t.lease("q", probing);
    },
  },
  {
    title: "remembers a circuit for as long as a probe of it runs",
    check: async (t) => {
      const probing = await t.openToProbes();
      const spans = Math.ceil(t.subject.keepMs / t.spanMs) + 5;
      const slow = await t.lease("slow", probing, 1, spans);
      await t.advance(t.subject.keepMs + 2 * t.spanMs);
      same((await t.heard(slow, "succeeded")).state, "closed", "the state after its success");
    },
  },
];
