// What a holder may write, for how long, and what becomes of it.
import { ensure, same } from "../assert.ts";
import type { Clause } from "./trial.ts";

export const writeClauses: readonly Clause[] = [
  {
    title: "renewals make the lock last from then on",
    check: async (t) => {
      const { lease } = await t.acquire();
      for (let beat = 0; beat < 3; beat += 1) {
        await t.advance(t.lockMs / 2);
        same(await t.store.renew(lease, t.lockMs), "ok", "a renewal");
      }
      same((await t.begin()).kind, "inFlight", "the key, longer after its begin than its first lock");
    },
  },
  {
    title: "a lock that has run out is still its holder's to write under, until somebody has taken it over",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.outlive();
      same(await t.store.renew(lease, t.lockMs), "ok", "a late renewal");
      same((await t.begin()).kind, "inFlight", "the key after it");
      await t.outlive();
      same(await t.complete(lease), "ok", "a late completion");
      same((await t.begin()).kind, "replay", "the key after it");
    },
  },
  {
    title: "refuses every write of a zombie, and what its successor wrote stays",
    check: async (t) => {
      const zombie = await t.acquire();
      await t.outlive();
      const successor = await t.acquire({ takeDoubtful: true });
      await t.refused(zombie.lease, "of a zombie, while its successor is at work");
      same(await t.complete(successor.lease, '"mine"'), "ok", "the successor's completion");
      await t.refused(zombie.lease, "of a zombie, after its successor has completed");
      same(await t.begin(), { kind: "replay", result: '"mine"' }, "the key");
    },
  },
  {
    title: "refuses writes under fences that nobody holds",
    check: async (t) => {
      await t.refused({ ...t.ref, fence: 1 }, "to a key that nobody has asked for");
      const { lease } = await t.acquire();
      for (const fence of [lease.fence - 1, lease.fence + 1])
        await t.refused({ ...lease, fence }, `under fence ${fence} instead of ${lease.fence}`);
      same(await t.complete(lease), "ok", "the holder's own");
    },
  },
  {
    title: "refuses writes after the holder has given the key back",
    check: async (t) => {
      const { lease } = await t.acquire();
      same(await t.store.fail(lease, true), "ok", "the failure");
      same(await t.store.renew(lease, t.lockMs), "lost", "a renewal");
      same(await t.checkpoint(lease), "lost", "a checkpoint");
      same(await t.complete(lease), "lost", "a completion");
    },
  },
  {
    title: "a write that is repeated, its reply having been lost, is ok and changes nothing",
    check: async (t) => {
      const { lease } = await t.acquire();
      same([await t.checkpoint(lease), await t.checkpoint(lease)], ["ok", "ok"], "two checkpoints");
      same([await t.store.fail(lease, true), await t.store.fail(lease, true)], ["ok", "ok"], "two failures");
      const next = await t.acquire();
      same([await t.complete(next.lease), await t.complete(next.lease)], ["ok", "ok"], "two completions");
      same(await t.begin(), { kind: "replay", result: '"done"' }, "the key");
    },
  },
  {
    title: "a completed key never changes again",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.complete(lease, '"first"');
      await t.complete(lease, '"second"');
      same(await t.store.fail(lease, true), "lost", "a failure after it");
      same(await t.store.renew(lease, t.lockMs), "lost", "a renewal after it");
      same(await t.checkpoint(lease), "lost", "a checkpoint after it");
      await t.store.release(t.ref, "owner-1");
      same(await t.begin(), { kind: "replay", result: '"first"' }, "the key");
    },
  },
  {
    title: "whoever takes over resumes at the recovery point, and is not in doubt",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.checkpoint(lease, "charged", '{"id":1}');
      await t.checkpoint(lease, "shipped", '{"id":2}');
      await t.outlive();
      const next = await t.acquire();
      same(next.begun.point, { name: "shipped", data: '{"id":2}' }, "where to resume");
      same(next.begun.doubt, false, "doubt");
      await t.outlive();
      same(
        (await t.acquire()).begun.point,
        { name: "shipped", data: '{"id":2}' },
        "where the one after that resumes",
      );
    },
  },
  {
    title: "a recovery point clears a doubt that there was",
    check: async (t) => {
      await t.acquire();
      await t.outlive();
      const { lease } = await t.acquire({ takeDoubtful: true });
      await t.checkpoint(lease);
      await t.store.fail(lease, false);
      same((await t.acquire()).begun.doubt, false, "doubt after it");
    },
  },
  {
    title: "a checkpoint makes the lock last, as a renewal does",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.advance(t.lockMs / 2);
      await t.checkpoint(lease);
      await t.advance(t.lockMs * 0.6);
      same((await t.begin()).kind, "inFlight", "the key, longer after its begin than its first lock");
    },
  },
  {
    title: "a failure that is safe to repeat opens the key to anyone, one that is not puts it in doubt",
    check: async (t) => {
      const first = await t.acquire();
      same(await t.store.fail(first.lease, true), "ok", "a safe failure");
      const second = await t.acquire();
      same(second.begun.doubt, false, "doubt after a safe failure");
      same(await t.store.fail(second.lease, false), "ok", "an unsafe failure");
      same(
        await t.begin(),
        { kind: "inDoubt", fence: second.lease.fence },
        "the key after an unsafe failure",
      );
    },
  },
  {
    title: "a safe failure does not settle the doubt about an attempt before it",
    check: async (t) => {
      await t.acquire();
      await t.outlive();
      const { lease } = await t.acquire({ takeDoubtful: true });
      same(await t.store.fail(lease, true), "ok", "the safe failure");
      same((await t.begin()).kind, "inDoubt", "the key after it");
    },
  },
  {
    title: "a release takes a begin back as if it had not been",
    check: async (t) => {
      await t.begin({ owner: "me" });
      await t.store.release(t.ref, "you");
      same((await t.begin()).kind, "inFlight", "the key after somebody else's release");
      await t.store.release(t.ref, "me");
      same((await t.acquire()).begun.doubt, false, "doubt after the owner's release");
      await t.store.release({ ...t.ref, key: "never seen" }, "me");
    },
  },
  {
    title: "a release keeps doubt and recovery point of before",
    check: async (t) => {
      const doubtful = { ...t.ref, key: "doubtful" };
      const first = await t.acquire({}, doubtful);
      await t.store.fail(first.lease, false);
      await t.begin({ owner: "me", takeDoubtful: true }, doubtful);
      await t.store.release(doubtful, "me");
      same((await t.begin({}, doubtful)).kind, "inDoubt", "a key that was in doubt");

      const { lease } = await t.acquire();
      await t.checkpoint(lease);
      await t.store.fail(lease, true);
      await t.begin({ owner: "me" });
      await t.store.release(t.ref, "me");
      same((await t.acquire()).begun.point, { name: "half", data: "1" }, "the recovery point");
    },
  },
  {
    title: "a completion keeps the result for as long as it says",
    check: async (t) => {
      const { lease } = await t.acquire();
      await t.store.complete(lease, '"done"', t.ttlMs * 2);
      await t.advance(t.ttlMs * 1.5);
      same((await t.begin()).kind, "replay", "the key, longer than a begin would have kept it");
    },
  },
  {
    title: "keeps a result of 100,000 characters as it is",
    check: async (t) => {
      const { lease } = await t.acquire();
      const result = JSON.stringify('ä€😀\\"'.repeat(20_000));
      same(await t.complete(lease, result), "ok", "its completion");
      const answer = await t.begin();
      ensure(answer.kind === "replay" && answer.result === result, "a long result comes back as it went in");
    },
  },
];
