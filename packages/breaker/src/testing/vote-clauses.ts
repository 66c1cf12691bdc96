// When votes open a circuit, and for how long.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const voteClauses: readonly Clause[] = [
  {
    title: "does not know a circuit that nobody has spoken of",
    check: async (t) => {
      const nothing = { generation: 0, openForMs: 0, opens: 0, votes: 0, probing: 0, probed: 0 };
      same(await t.store.read(t.key), { key: t.key, state: "closed", ...nothing }, "what it says of it");
    },
  },
  {
    title: "opens with the vote that makes the quorum, not before",
    check: async (t) => {
      const first = await t.vote("a", { quorum: 3 });
      same([first.state, first.votes], ["closed", 1], "after one vote of three");
      same((await t.vote("b", { quorum: 3 })).state, "closed", "after two votes of three");
      const opened = await t.vote("c", { quorum: 3 });
      same([opened.state, opened.opens, opened.votes], ["open", 1, 0], "after three votes of three");
      ensure(opened.generation > 0, `an open circuit has a generation, not ${opened.generation}`);
    },
  },
  {
    title: "counts each voter once, however often it votes",
    check: async (t) => {
      for (let times = 0; times < 5; times += 1) {
        const { state, votes } = await t.vote("a");
        same([state, votes], ["closed", 1], "after the votes of one");
      }
    },
  },
  {
    title: "opens once for many who vote at a time",
    check: async (t) => {
      const voters = Array.from({ length: 20 }, (_, index) => `voter-${index}`);
      const answers = await Promise.all(voters.map((voter) => t.vote(voter)));
      const generations = new Set(
        answers.filter(({ state }) => state === "open").map(({ generation }) => generation),
      );
      same(generations.size, 1, "generations that they are told");
      same((await t.store.read(t.key)).opens, 1, "times that it has opened");
    },
  },
  {
    title: "does not count votes whose window is over",
    check: async (t) => {
      await t.vote("a");
      await t.advance(t.spanMs);
      const { state, votes } = await t.vote("b");
      same([state, votes], ["closed", 1], "after a vote too late for the quorum");
    },
  },
  {
    title: "renews the vote of who votes again",
    exact: true,
    check: async (t) => {
      await t.vote("a");
      await t.advance(t.spanMs - 1);
      await t.vote("a");
      await t.advance(t.spanMs - 1);
      same((await t.vote("b")).state, "open", "after two votes, of which one was renewed");
    },
  },
  {
    title: "does not count a vote of an older generation, and says which is the present one",
    check: async (t) => {
      const probing = await t.openToProbes();
      const closed = await t.heard(await t.lease("p", probing), "succeeded");
      const late = await t.vote("a", { generation: probing.generation, quorum: 1 });
      same([late.state, late.votes], ["closed", 0], "after a vote about what has been judged");
      same(late.generation, closed.generation, "the generation that it tells");
      const { state } = await t.vote("a", { generation: closed.generation, quorum: 1 });
      same(state, "open", "after a vote of the present generation");
    },
  },
  {
    title: "forgets all votes when it opens",
    check: async (t) => {
      await t.vote("a", { windowMs: 100 * t.spanMs });
      await t.vote("b", { windowMs: 100 * t.spanMs });
      await t.advance(t.spanMs);
      const probing = await t.store.read(t.key);
      const { generation } = await t.heard(await t.lease("p", probing), "succeeded");
      same((await t.vote("c", { generation })).state, "closed", "after one vote since it has closed");
    },
  },
  {
    title: "is not opened anew, nor longer, by votes while it is open",
    check: async (t) => {
      const opened = await t.open();
      const again = await t.vote("b", { generation: opened.generation, quorum: 1 }, { atLeastMs: 60_000 });
      same([again.generation, again.opens], [opened.generation, 1], "generation and opens");
      ensure(again.openForMs <= t.spanMs, `it is open for ${again.openForMs} ms more`);
    },
  },
  {
    title: "tells how long it stays open, by its own clock",
    exact: true,
    check: async (t) => {
      same((await t.open()).openForMs, t.spanMs, "at first");
      await t.advance(t.spanMs - 1);
      same((await t.store.read(t.key)).openForMs, 1, "a millisecond before its end");
      await t.advance(1);
      same((await t.store.read(t.key)).openForMs, 0, "at its end");
      same((await t.store.read(t.key)).state, "open", "its state then, until probes have succeeded");
    },
  },
  {
    title: "stays open longer each time, up to the most, times the caller's draw",
    exact: true,
    check: async (t) => {
      let circuit = await t.open(t.key, { stretch: 1.5 });
      same(circuit.openForMs, 1.5 * t.spanMs, "the first time");
      await t.advance(circuit.openForMs);
      for (const spans of [2, 4, 4]) {
        circuit = await t.heard(await t.lease(`p${spans}`, circuit), "failed");
        same(circuit.openForMs, spans * t.spanMs, "after a failed probe");
        await t.advance(circuit.openForMs);
      }
      same(circuit.opens, 4, "how often it has opened");
    },
  },
  {
    title: "stays open at least as long as the callee has asked",
    check: async (t) => {
      const { openForMs } = await t.open(t.key, { atLeastMs: 50 * t.spanMs });
      ensure(openForMs > 49 * t.spanMs && openForMs <= 50 * t.spanMs, `open for ${openForMs} ms`);
    },
  },
  {
    title: "grows on when it opens again soon, and begins anew after a rest of its last open time",
    exact: true,
    check: async (t) => {
      let closed = await t.heard(await t.lease("p", await t.openToProbes()), "succeeded");
      const again = await t.open();
      same([again.opens, again.openForMs], [2, 2 * t.spanMs], "when it opens again soon");
      await t.advance(2 * t.spanMs);
      closed = await t.heard(await t.lease("q", again), "succeeded");
      await t.advance(2 * t.spanMs);
      const rested = await t.vote("a", { generation: closed.generation, quorum: 1 });
      same([rested.opens, rested.openForMs], [1, t.spanMs], "after a rest");
    },
  },
  {
    title: "keeps circuits of different keys apart, whatever is in them",
    check: async (t) => {
      const odd = [
        `${t.key}:a`,
        `${t.key}{b}`,
        `${t.key} '"\\\n\u0000`,
        `${t.key}\u{1F600}`,
        `${t.key}\ud800`,
        `${t.key}\ud801`,
        t.key.padEnd(1_000, "€"),
      ];
      for (const key of odd) {
        same((await t.store.read(key)).state, "closed", `the state of ${JSON.stringify(key)} at first`);
        same((await t.open(key)).key, key, "the key that it tells");
      }
      same((await t.store.read(t.key)).state, "closed", "the state of the key that all begin with");
    },
  },
  {
    title: "is open for as long as it was told to, however little it remembers",
    check: async (t) => {
      const longMs = t.subject.keepMs + 10 * t.spanMs;
      await t.open(t.key, { initialMs: longMs, maxMs: longMs });
      await t.advance(t.subject.keepMs + t.spanMs);
      same((await t.store.read(t.key)).state, "open", "the state within its open time");
    },
  },
  {
    title:
      "forgets a circuit when nothing of it has happened for a while, and draws a greater generation all the same",
    check: async (t) => {
      const first = await t.open();
      await t.advance(t.spanMs + t.subject.keepMs);
      const { state, generation, opens } = await t.store.read(t.key);
      same([state, generation, opens], ["closed", 0, 0], "a circuit that was forgotten");
      const second = await t.vote("a", { generation: first.generation, quorum: 1 });
      same([second.state, second.opens], ["open", 1], "after a vote of who knew it before");
      ensure(
        second.generation > first.generation,
        `generation ${second.generation} comes after ${first.generation}`,
      );
    },
  },
];
