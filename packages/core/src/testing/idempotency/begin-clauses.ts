// Who is given a key, and what the others are told.
import { ensure, same } from "../assert.ts";
import type { Clause } from "./trial.ts";

/** For many calls one after the other, on a machine that is busy with others too. */
const LONG_MS = 60_000;

export const beginClauses: readonly Clause[] = [
  {
    title: "gives an unknown key to whoever asks first, without doubt or recovery point",
    check: async (t) => {
      const { begun } = await t.acquire();
      ensure(Number.isSafeInteger(begun.fence), `the fence is a safe integer, not ${begun.fence}`);
      same(begun.doubt, false, "doubt");
      same(begun.point, undefined, "a recovery point");
    },
  },
  {
    title: "tells others that it is in flight, and for how long at most",
    check: async (t) => {
      await t.acquire();
      const other = await t.begin();
      ensure(other.kind === "inFlight", `a held key is in flight; it is ${other.kind}`);
      const { retryAfterMs } = other;
      ensure(
        retryAfterMs > 0 && retryAfterMs <= t.lockMs,
        `a lock of ${t.lockMs} ms ends in ${retryAfterMs} ms`,
      );
    },
  },
  {
    title: "gives the same lease to the same owner, whose reply was lost",
    check: async (t) => {
      const { begun } = await t.acquire({ owner: "me" });
      same((await t.acquire({ owner: "me" })).begun, begun, "the second answer");
      same((await t.begin({ owner: "you" })).kind, "inFlight", "another owner's answer");
    },
  },
  {
    title: "gives a key to one of many who ask at a time",
    check: async (t) => {
      const held = { lockTtlMs: LONG_MS, ttlMs: LONG_MS };
      const answers = await Promise.all(Array.from({ length: 40 }, () => t.begin(held)));
      const kinds = answers.map(({ kind }) => kind).sort();
      same(kinds, ["acquired", ...Array.from({ length: 39 }, () => "inFlight")], "the answers");
    },
  },
  {
    title: "keeps keys of different scopes apart, however their parts are cut",
    check: async (t) => {
      const { scope } = t.ref;
      await t.acquire({}, { scope: `${scope}:a`, key: "b:c" });
      await t.acquire({}, { scope: `${scope}:a:b`, key: "c" });
      await t.acquire({}, { scope, key: "a:b:c" });
      await t.acquire({}, { scope: `${scope}{a}`, key: "b\u{1F600}'\"\\ \n" });
      await t.acquire({}, { scope: `${scope}{a`, key: "}b\u{1F600}'\"\\ \n" });
    },
  },
  {
    title: "takes keys as long as they may be, and any text in them",
    check: async (t) => {
      const long = { scope: t.ref.scope.padEnd(255, "ß"), key: "__proto__".padEnd(255, "\u{20AC}") };
      const { lease } = await t.acquire({}, long);
      same(await t.complete(lease, '"€\u{1F600}\\u0000"'), "ok", "its completion");
      same(await t.begin({}, long), { kind: "replay", result: '"€\u{1F600}\\u0000"' }, "its replay");
    },
  },
  {
    title: "refuses another request under the same key, whatever state it is in",
    check: async (t) => {
      const another = { fingerprint: "another request" };
      const { lease } = await t.acquire();
      same(await t.begin(another), { kind: "mismatch" }, "while it is held");
      same(await t.store.fail(lease, true), "ok", "its failure");
      same(await t.begin(another), { kind: "mismatch" }, "while it is open");
      const again = await t.acquire();
      same(await t.store.fail(again.lease, false), "ok", "its failure");
      same(await t.begin({ ...another, takeDoubtful: true }), { kind: "mismatch" }, "while it is in doubt");
      const last = await t.acquire({ takeDoubtful: true });
      same(await t.complete(last.lease), "ok", "its completion");
      same(await t.begin(another), { kind: "mismatch" }, "once it is done");
    },
  },
  {
    title: "answers a completed key with its result, to everybody",
    check: async (t) => {
      const { lease } = await t.acquire({ owner: "me" });
      await t.complete(lease, '{"order":7}');
      same(await t.begin(), { kind: "replay", result: '{"order":7}' }, "another's answer");
      same(await t.begin({ owner: "me" }), { kind: "replay", result: '{"order":7}' }, "its owner's answer");
    },
  },
  {
    title: "is in doubt when its lock has run out without a word",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.outlive();
      same(await t.begin(), { kind: "inDoubt", fence: lease.fence }, "the answer");
      same(
        await t.begin(),
        { kind: "inDoubt", fence: lease.fence },
        "the answer to the next, nothing having changed",
      );
      const { begun } = await t.acquire({ takeDoubtful: true });
      same(begun.doubt, true, "doubt of whoever takes it nevertheless");
    },
  },
  {
    title: "does not give an owner a lease back that has run out",
    check: async (t) => {
      const { lease } = await t.acquire({ owner: "me" });
      await t.outlive();
      same(await t.begin({ owner: "me" }), { kind: "inDoubt", fence: lease.fence }, "the answer");
    },
  },
  {
    title: "stays in doubt over attempts that end without a word or without an effect",
    check: async (t) => {
      await t.acquire();
      await t.outlive();
      await t.acquire({ takeDoubtful: true });
      await t.outlive();
      same((await t.begin()).kind, "inDoubt", "after two attempts that ended without a word");
    },
  },
  {
    title: "draws a higher fence for every holder, and never the same twice",
    check: async (t) => {
      const fences: number[] = [];
      for (let attempt = 0; attempt < 4; attempt += 1) {
        const { lease } = await t.acquire();
        fences.push(lease.fence);
        await t.store.fail(lease, true);
      }
      ensure(
        fences.every((fence, index) => index === 0 || fence > fences[index - 1]!),
        `fences only grow: ${fences.join(", ")}`,
      );
    },
  },
  {
    title: "forgets a key after its time, and draws a higher fence all the same",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.complete(lease);
      await t.advance(t.ttlMs);
      const next = await t.acquire({ fingerprint: "another request" });
      ensure(next.lease.fence > lease.fence, `fence ${next.lease.fence} comes after ${lease.fence}`);
      same(next.begun.doubt, false, "doubt about a forgotten key");
      await t.refused(lease, "of a holder before the key was forgotten");
    },
  },
  {
    title: "remembers a key until the very end of its time, and holds a lock until the very end of it",
    exact: true,
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.advance(t.lockMs - 1);
      same(await t.begin(), { kind: "inFlight", retryAfterMs: 1 }, "a millisecond before the lock runs out");
      await t.complete(lease);
      await t.advance(t.ttlMs - 1);
      same((await t.begin()).kind, "replay", "a millisecond before it is forgotten");
      await t.advance(1);
      await t.acquire();
      await t.advance(t.lockMs);
      same((await t.begin()).kind, "inDoubt", "at the moment the lock runs out");
    },
  },
];
