// The suite is only as good as the faults it finds: each of these stores must fail it.
import type { CircuitVote, ProbeRequest } from "@holdfast/breaker";
import { circuitStoreConformance } from "@holdfast/breaker/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { FleetRecord, Moment } from "../src/shared/fleet-record.ts";
import type { Rules, RuleStoreOptions } from "./support/rule-store.ts";
import { ruleStore } from "./support/rule-store.ts";

const KEEP_MS = 10_000;

type Broken = Omit<RuleStoreOptions, "clock" | "keepMs"> & { readonly keepMs?: number };

/** Titles of the clauses that a store does not keep. */
async function brokenClauses(broken: Broken): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  circuitStoreConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      make: () => ruleStore({ clock: (clock = manualClock()), keepMs: KEEP_MS, ...broken }),
      advance: (ms) => clock.advance(ms),
      keepMs: KEEP_MS,
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) await body().catch(() => failed.push(title));
  return failed;
}

/** Rules of which each request is changed before it is looked at. */
const otherVote =
  (change: (vote: CircuitVote, known: FleetRecord | undefined) => Partial<CircuitVote>) =>
  ({ vote }: Rules): Partial<Rules> => ({
    vote: (known, request, moment) => vote(known, { ...request, ...change(request, known) }, moment),
  });
const otherRequest =
  (change: (request: ProbeRequest, known: FleetRecord | undefined) => Partial<ProbeRequest>) =>
  ({ leaseProbe }: Rules): Partial<Rules> => ({
    leaseProbe: (known, request, moment) =>
      leaseProbe(known, { ...request, ...change(request, known) }, moment),
  });
/** Rules that see another record than there is. */
const otherRecord =
  (change: (record: FleetRecord, moment: Moment) => Partial<FleetRecord>, ...verbs: (keyof Rules)[]) =>
  (rules: Rules): Partial<Rules> => {
    const seen = (known: FleetRecord | undefined, moment: Moment) =>
      known && { ...known, ...change(known, moment) };
    const all: Partial<Rules> = {
      vote: (known, request, moment) => rules.vote(seen(known, moment), request, moment),
      leaseProbe: (known, request, moment) => rules.leaseProbe(seen(known, moment), request, moment),
      probeEnded: (known, end, moment) => rules.probeEnded(seen(known, moment), end, moment),
    };
    return Object.fromEntries(verbs.map((verb) => [verb, all[verb]]));
  };
const longer = (ends: ReadonlyMap<string, number>, ms: number) =>
  new Map([...ends].map(([name, endsAt]) => [name, endsAt + ms]));

let voters = 0;
let tokens = 0;

/** A fault, and words from the title of a clause that finds it. */
const mutants: Readonly<Record<string, readonly [Broken, string]>> = {
  "opens with one vote too few": [
    { rules: otherVote(({ quorum }) => ({ quorum: Math.max(1, quorum - 1) })) },
    "the vote that makes the quorum",
  ],
  "needs one vote too many": [
    { rules: otherVote(({ quorum }) => ({ quorum: quorum + 1 })) },
    "the vote that makes the quorum",
  ],
  "counts votes, not voters": [
    { rules: otherVote(() => ({ voter: `voter ${(voters += 1)}` })) },
    "counts each voter once",
  ],
  "looks at a circuit before it writes it": [{ pause: () => Promise.resolve() }, "at a time"],
  "never forgets a vote": [{ rules: otherVote(() => ({ windowMs: 2 ** 50 })) }, "votes whose window is over"],
  "keeps the first vote of a voter": [
    {
      rules: ({ vote }) => ({
        vote: (known, request, moment) =>
          known?.votes.has(request.voter) === true && request.quorum > known.votes.size
            ? { record: known, answer: undefined }
            : vote(known, request, moment),
      }),
    },
    "renews the vote",
  ],
  "counts votes of older generations": [
    { rules: otherVote((_, known) => ({ generation: known?.generation ?? 0 })) },
    "a vote of an older generation",
  ],
  "keeps votes when it opens": [
    {
      rules: ({ vote, probeEnded }) => ({
        vote: (known, request, moment) => {
          const { record, answer } = vote(known, request, moment);
          return { record: record.open && known ? { ...record, votes: known.votes } : record, answer };
        },
        probeEnded: (known, end, moment) => {
          const made = probeEnded(known, end, moment);
          return known === undefined ? made : { ...made, record: { ...made.record, votes: known.votes } };
        },
      }),
    },
    "forgets all votes when it opens",
  ],
  "is opened anew by votes while it is open": [
    { rules: otherRecord(() => ({ open: false }), "vote") },
    "by votes while it is open",
  ],
  "stays open for the same time always": [
    { rules: otherRecord(({ open }) => (open ? { opens: 0 } : {}), "probeEnded") },
    "stays open longer each time",
  ],
  "ignores the caller's draw": [
    { rules: otherVote(({ openTime }) => ({ openTime: { ...openTime, stretch: 1 } })) },
    "times the caller's draw",
  ],
  "knows no most": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) =>
          probeEnded(known, { ...end, openTime: { ...end.openTime, maxMs: Infinity } }, moment),
      }),
    },
    "up to the most",
  ],
  "ignores what the callee has asked for": [
    { rules: otherVote(({ openTime }) => ({ openTime: { ...openTime, atLeastMs: 0 } })) },
    "as long as the callee has asked",
  ],
  "never begins anew": [
    { rules: otherRecord(() => ({ lastOpenMs: Infinity }), "vote") },
    "begins anew after a rest",
  ],
  "begins anew at once": [
    { rules: otherRecord(() => ({ closedAt: -Infinity }), "vote") },
    "grows on when it opens again soon",
  ],
  "joins circuits whose keys begin alike": [
    { idOf: (key) => key.slice(0, 44) },
    "keeps circuits of different keys apart",
  ],
  "loses lone surrogates": [
    { idOf: (key) => new TextEncoder().encode(key).join() },
    "keeps circuits of different keys apart",
  ],
  "forgets a circuit that is open [bug 29]": [
    {
      rules: ({ vote }) => ({
        vote: (...args) => {
          const { record, answer } = vote(...args);
          return { record: { ...record, keptUntil: args[2].now + KEEP_MS }, answer };
        },
      }),
    },
    "is open for as long as it was told to",
  ],
  "forgets a circuit under a running probe [bug 29]": [
    {
      rules: ({ leaseProbe }) => ({
        leaseProbe: (known, ...rest) => {
          const { record, answer } = leaseProbe(known, ...rest);
          return { record: { ...record, keptUntil: known?.keptUntil ?? 0 }, answer };
        },
      }),
    },
    "for as long as a probe of it runs",
  ],
  "never forgets a circuit": [{ keepMs: 2 ** 50 }, "forgets a circuit when nothing of it has happened"],
  "counts generations from 1 for every circuit": [
    {
      nextGeneration: (known, now) =>
        (known !== undefined && now < known.keptUntil ? known.generation : 0) + 1,
    },
    "draws a greater generation all the same",
  ],
  "keeps the generation when it closes": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) =>
          probeEnded(
            known,
            end,
            end.verdict === "succeeded"
              ? { ...moment, nextGeneration: () => known?.generation ?? 0 }
              : moment,
          ),
      }),
    },
    "closes when as many have succeeded",
  ],
  "leases probes while its open time runs": [
    { rules: otherRecord(() => ({ openUntil: 0 }), "leaseProbe") },
    "whose open time is not over",
  ],
  "leases one probe too many": [
    { rules: otherRequest(({ probes }) => ({ probes: probes + 1 })) },
    "and no more",
  ],
  "does not count successes against the places": [
    { rules: otherRecord(() => ({ probed: 0 }), "leaseProbe") },
    "closes when as many have succeeded",
  ],
  "gives who asks again another lease": [
    {
      rules: ({ leaseProbe }) => ({
        leaseProbe: (known, request, moment) =>
          known?.leases.has(request.token) === true
            ? leaseProbe(known, { ...request, token: `again ${(tokens += 1)}` }, moment)
            : leaseProbe(known, request, moment),
      }),
    },
    "the same lease",
  ],
  "lengthens the lease of who asks again": [
    {
      rules: ({ leaseProbe }) => ({
        leaseProbe: (known, request, moment) => {
          const { record, answer } = leaseProbe(known, request, moment);
          const leases = new Map(record.leases);
          if (leases.has(request.token)) leases.set(request.token, moment.now + request.leaseMs);
          return { record: { ...record, leases }, answer };
        },
      }),
    },
    "does not lengthen the lease",
  ],
  "leases probes to whoever knows an older generation": [
    { rules: otherRequest((_, known) => ({ generation: known?.generation ?? 0 })) },
    "an older generation only",
  ],
  "closes with the first success": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) => probeEnded(known, { ...end, probes: 1 }, moment),
      }),
    },
    "closes when as many have succeeded",
  ],
  "hears a stale prober": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) =>
          probeEnded(
            known && { ...known, leases: new Map(known.leases).set(end.token, Infinity) },
            { ...end, generation: known?.generation ?? 0 },
            moment,
          ),
      }),
    },
    "hears the others no more",
  ],
  "hears a prober whose lease has run out": [
    {
      rules: otherRecord(({ leases }) => ({ leases: longer(leases, 1_000_000) }), "probeEnded"),
    },
    "hears its holder no more",
  ],
  "never frees the place of a killed prober": [
    { rules: otherRequest(() => ({ leaseMs: 2 ** 50 })) },
    "frees the place of a lease that has run out",
  ],
  "frees a place a millisecond too early": [
    { rules: otherRecord(({ leases }) => ({ leases: longer(leases, -1) }), "leaseProbe") },
    "until the very end",
  ],
  "frees a place a millisecond too late": [
    { rules: otherRecord(({ leases }) => ({ leases: longer(leases, 1) }), "leaseProbe") },
    "until the very end",
  ],
  "keeps successes when it opens anew": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) => {
          const { record, answer } = probeEnded(known, end, moment);
          return {
            record: end.verdict === "failed" ? { ...record, probed: known?.probed ?? 0 } : record,
            answer,
          };
        },
      }),
    },
    "forgets successes of before",
  ],
  "takes what was forgotten for a success": [
    {
      rules: ({ probeEnded }) => ({
        probeEnded: (known, end, moment) =>
          probeEnded(known, { ...end, verdict: end.verdict === "failed" ? "failed" : "succeeded" }, moment),
      }),
    },
    "a probe that says nothing",
  ],
  "does not tell newcomers what is open": [{ tellsNewcomers: false }, "tells who comes to watch"],
  "does not tell of closing": [
    { tell: (circuit) => (circuit.state === "closed" ? undefined : circuit) },
    "tells of every change",
  ],
  "does not tell of opening anew": [
    { tell: (circuit) => (circuit.opens > 1 && circuit.state === "open" ? undefined : circuit) },
    "tells of every change",
  ],
  "goes on telling who has stopped watching": [{ stops: false }, "who has stopped watching"],
  "cannot be closed": [{ closes: false }, "ends the store"],
};

describe("the suite for circuit stores", () => {
  it("finds nothing in a store made of the sound rules", async () => {
    expect(await brokenClauses({})).toEqual([]);
  });

  for (const [fault, [broken, words]] of Object.entries(mutants))
    it(`rejects a store that ${fault}`, async () => {
      const failed = await brokenClauses(broken);
      expect(
        failed.some((title) => title.includes(words)),
        failed.join("\n") || "nothing found",
      ).toBe(true);
    });
});
