// How much is given out: the quota, never more, and all or nothing.
import { ensure, same } from "@holdfast/core/testing";
import { fixedWindow } from "../limits/fixed-window.ts";
import { slidingLog } from "../limits/sliding-log.ts";
import { tokenBucket } from "../limits/token-bucket.ts";
import type { Clause } from "./trial.ts";

export const takeClauses: readonly Clause[] = [
  {
    title: "allows the whole quota and refuses one more, whatever the algorithm",
    check: (t) =>
      t.each(t.lasting(3), async (book) => {
        for (const left of [2, 1, 0]) {
          const { remaining } = await book.allowed();
          same(remaining, left, "what is left after a take");
        }
        same((await book.refused()).remaining, 0, "what is left at a refusal");
      }),
  },
  {
    title: "takes a cost as a whole: what does not fit is refused, and takes nothing",
    check: (t) =>
      t.each(t.lasting(5), async (book) => {
        await book.allowed(3);
        await book.refused(3);
        await book.expectLeft([2], "after a refusal of 3");
        await book.allowed(2);
        await book.allowed(0, "key", "nothing, of nothing left,");
      }),
  },
  {
    title: "gives out the quota and no more to many who ask at a time",
    check: (t) =>
      t.each(t.lasting(10), async (book) => {
        const decisions = await Promise.all(Array.from({ length: 50 }, () => book.take()));
        same(
          decisions.filter(({ allowed }) => allowed).length,
          10,
          "those who are allowed of 50 that ask for 10",
        );
      }),
  },
  {
    title: "takes from all limits or from none",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "many", capacity: 10, refill: 1, per: "1h" }),
        fixedWindow({ name: "few", limit: 2, window: "366d" }),
        slidingLog({ name: "some", limit: 5, window: "1h" }),
      );
      await book.allowed(2);
      for (let refusal = 0; refusal < 5; refusal += 1)
        same((await book.refused()).limit.name, "few", "the limit that refuses");
      await book.expectLeft([8, 0, 3], "after five refusals");
    },
  },
  {
    title: "takes from all limits or from none when many ask at a time",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "wide", capacity: 30, refill: 1, per: "1h" }),
        tokenBucket({ name: "narrow", capacity: 7, refill: 1, per: "1h" }),
      );
      const decisions = await Promise.all(Array.from({ length: 40 }, () => book.take()));
      same(decisions.filter(({ allowed }) => allowed).length, 7, "those who are allowed");
      await book.expectLeft([23, 0], "after 7 takes and 33 refusals");
    },
  },
  {
    title: "takes another cost from each limit",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "requests", capacity: 10, refill: 1, per: "1h" }),
        tokenBucket({ name: "tokens", capacity: 1_000, refill: 1, per: "1h" }),
      );
      await book.allowed({ tokens: 600 });
      await book.refused({ tokens: 600 });
      await book.allowed({ tokens: 400, requests: 0 });
      await book.expectLeft([9, 0], "after 1 request of 600 tokens, and 400 tokens more");
    },
  },
  {
    title: "tells how every limit stands, in order, and decides by the one to wait longest for",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "soon", capacity: 4, refill: 1, per: "1h" }),
        tokenBucket({ name: "late", capacity: 4, refill: 1, per: "10h" }),
        tokenBucket({ name: "free", capacity: 40, refill: 1, per: "10h" }),
      );
      const { standings, limit } = await book.allowed(4);
      same(
        standings.map((one) => one.limit.name),
        ["soon", "late", "free"],
        "the standings",
      );
      same(
        standings.map(({ remaining }) => remaining),
        [0, 0, 36],
        "what is left",
      );
      same(limit.name, "soon", "the limit with the smallest share left");
      const refusal = await book.refused();
      same(refusal.limit.name, "late", "the limit that decides");
      same(
        refusal.standings.map(({ retryAfterMs }) => retryAfterMs > 0),
        [true, true, false],
        "which limits have to be waited for",
      );
    },
  },
  {
    title: "a peek tells what a take would, and takes nothing",
    check: (t) =>
      t.each(t.lasting(2), async (book) => {
        for (let peek = 0; peek < 5; peek += 1) {
          const { allowed, remaining } = await book.take(2, "key", "peek");
          same([allowed, remaining], [true, 2], "a peek at all of it");
        }
        await book.allowed(2);
        const { allowed, remaining } = await book.take(1, "key", "peek");
        same([allowed, remaining], [false, 0], "a peek at nothing");
      }),
  },
  {
    title: "what is spent is spent, even if there is not as much, and later takes wait for it",
    check: (t) =>
      t.each(t.lasting(4), async (book, limit) => {
        await book.allowed(3);
        const spent = await book.take(3, "key", "spend");
        ensure(spent.allowed, "a spend is allowed");
        same(spent.remaining, 0, `what is left of ${limit.algorithm}`);
        await book.refused(1);
        // 6 of 4: giving 1 back leaves nothing to take.
        await book.refund(spent, 1);
        await book.refused(1);
        await book.refund(spent, 2);
        await book.allowed(1, "key", "a take after 3 of 6 were given back");
      }),
  },
  {
    title: "lends what there is, up to what is asked for, and tells when there is none",
    check: (t) =>
      t.each(t.lasting(5), async (book) => {
        const first = await book.borrow(3);
        same([first.granted, first.decision.allowed], [3, true], "3 of 5");
        const second = await book.borrow(10);
        same([second.granted, second.decision.allowed], [2, true], "10 of 2");
        const third = await book.borrow(10);
        same([third.granted, third.decision.allowed], [0, false], "10 of 0");
        ensure(third.decision.retryAfterMs >= 1, "who is lent nothing is told when to ask again");
        await book.refused(1);
      }),
  },
  {
    title: "lends of several limits as much as there is of all",
    check: async (t) => {
      const book = t.open(
        tokenBucket({ name: "wide", capacity: 30, refill: 1, per: "1h" }),
        tokenBucket({ name: "narrow", capacity: 7, refill: 1, per: "1h" }),
      );
      same((await book.borrow(10)).granted, 7, "what is granted");
      await book.expectLeft([23, 0], "after it");
    },
  },
  {
    title: "goes by other numbers for one call, and counts what was taken under either",
    check: async (t) => {
      const usual = tokenBucket({ name: "plan", capacity: 4, refill: 1, per: "1h" });
      const larger = tokenBucket({ name: "plan", capacity: 10, refill: 7, per: "24h" });
      const book = t.open(usual);
      await book.allowed(4);
      await book.refused(1);
      const raised = await book.take(5, "key", "take", [larger]);
      same([raised.allowed, raised.remaining], [true, 1], "5 of 10, of which 4 are taken");
      await book.refused(1);
      same((await book.take(2, "key", "take", [larger])).allowed, false, "2 of 1");
    },
  },
  {
    title: "goes by windows of another length for one call, without counting less than before",
    check: async (t) => {
      for (const make of [fixedWindow]) {
        const book = t.open(make({ name: "plan", limit: 5, window: "366d" }));
        await book.allowed(5);
        const shorter = make({ name: "plan", limit: 5, window: "1h" });
        same((await book.take(1, "key", "take", [shorter])).allowed, false, "a take in a shorter window");
      }
    },
  },
];
