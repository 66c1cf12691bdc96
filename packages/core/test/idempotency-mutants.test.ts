// The suite is only as good as the faults it finds: each of these stores must fail it.
import type { ManualClock } from "@holdfast/core/testing";
import { idempotencyStoreConformance, manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { KeyRecord } from "../src/idempotency/record.ts";
import type { RuleStoreOptions } from "./support/rule-store.ts";
import { ruleStore } from "./support/rule-store.ts";

/** Titles of the clauses that a store does not keep. */
async function brokenClauses(broken: Omit<RuleStoreOptions, "clock">): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  let clock: ManualClock;
  idempotencyStoreConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      make: () => ruleStore({ clock: (clock = manualClock()), ...broken }),
      advance: (ms) => clock.advance(ms),
    },
  );
  const failed: string[] = [];
  for (const { title, body } of tests) await body().catch(() => failed.push(title));
  return failed;
}

const fenceOf = (known: KeyRecord | undefined): number => known?.fence ?? 0;

/** A fault, and words from the title of a clause that finds it. */
const mutants: Readonly<Record<string, readonly [Omit<RuleStoreOptions, "clock">, string]>> = {
  "completes under any fence": [
    {
      rules: ({ complete }) => ({
        complete: (known, _, ...rest) => complete(known, fenceOf(known), ...rest),
      }),
    },
    "every write of a zombie",
  ],
  "renews under any fence": [
    { rules: ({ renew }) => ({ renew: (known, _, ...rest) => renew(known, fenceOf(known), ...rest) }) },
    "every write of a zombie",
  ],
  "checkpoints under any fence": [
    {
      rules: ({ checkpoint }) => ({
        checkpoint: (known, _, ...rest) => checkpoint(known, fenceOf(known), ...rest),
      }),
    },
    "every write of a zombie",
  ],
  "fails under any fence": [
    { rules: ({ fail }) => ({ fail: (known, _, ...rest) => fail(known, fenceOf(known), ...rest) }) },
    "every write of a zombie",
  ],
  "counts attempts for a fence, and forgets the count with the key": [
    { nextFence: (known) => (known === undefined ? 1 : known.expiresAt < 3_000 ? known.fence + 1 : 1) },
    "higher fence",
  ],
  "looks at a key before it writes it": [
    { pause: () => Promise.resolve() },
    "to one of many who ask at a time",
  ],
  "ignores the fingerprint of a completed key": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, ...rest) =>
          begin(
            known?.state === "done" ? { ...known, fingerprint: request.fingerprint } : known,
            request,
            ...rest,
          ),
      }),
    },
    "refuses another request under the same key",
  ],
  "ignores the fingerprint of a key in doubt": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, ...rest) =>
          begin(
            known?.doubt === true ? { ...known, fingerprint: request.fingerprint } : known,
            request,
            ...rest,
          ),
      }),
    },
    "refuses another request under the same key",
  ],
  "gives the owner of a lost reply another lease": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, ...rest) =>
          begin(known?.owner === request.owner ? undefined : known, request, ...rest),
      }),
    },
    "whose reply was lost",
  ],
  "refuses the owner of a lost reply": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, ...rest) => begin(known && { ...known, owner: "nobody" }, request, ...rest),
      }),
    },
    "whose reply was lost",
  ],
  "gives an owner a lease back that has run out": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, now, next) =>
          begin(
            known?.state === "held" && known.owner === request.owner
              ? { ...known, lockedUntil: now + 1 }
              : known,
            request,
            now,
            next,
          ),
      }),
    },
    "does not give an owner a lease back",
  ],
  "lets anybody release": [
    { rules: ({ release }) => ({ release: (known) => release(known, known?.owner ?? "") }) },
    "takes a begin back",
  ],
  "does not release": [{ rules: () => ({ release: (known) => known }) }, "takes a begin back"],
  "releases completed keys": [
    { rules: () => ({ release: (known) => known && { ...known, state: "open" } }) },
    "a completed key never changes again",
  ],
  "forgets a doubt when a begin is taken back": [
    {
      rules: ({ release }) => ({ release: (known, owner) => ({ ...release(known, owner)!, doubt: false }) }),
    },
    "keeps doubt and recovery point of before",
  ],
  "holds locks a millisecond too long": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, now, next) =>
          begin(known && { ...known, lockedUntil: known.lockedUntil + 1 }, request, now, next),
      }),
    },
    "until the very end",
  ],
  "holds locks a millisecond too short": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, now, next) =>
          begin(known && { ...known, lockedUntil: known.lockedUntil - 1 }, request, now, next),
      }),
    },
    "until the very end",
  ],
  "forgets keys a millisecond too early": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, now, next) =>
          begin(known && { ...known, expiresAt: known.expiresAt - 1 }, request, now, next),
      }),
    },
    "until the very end",
  ],
  "never forgets a key": [
    {
      rules: ({ begin }) => ({
        begin: (known, ...rest) => begin(known && { ...known, expiresAt: Infinity }, ...rest),
      }),
    },
    "forgets a key after its time",
  ],
  "knows no doubt": [
    {
      rules: ({ begin }) => ({
        begin: (known, request, ...rest) => begin(known, { ...request, takeDoubtful: true }, ...rest),
      }),
    },
    "is in doubt when its lock has run out",
  ],
  "hides a doubt from whoever takes the key": [
    {
      rules: ({ begin }) => ({
        begin: (...args) => {
          const { record, outcome } = begin(...args);
          return { record, outcome: outcome.kind === "acquired" ? { ...outcome, doubt: false } : outcome };
        },
      }),
    },
    "is in doubt when its lock has run out",
  ],
  "takes every failure for safe": [
    { rules: ({ fail }) => ({ fail: (known, fence, _, now) => fail(known, fence, true, now) }) },
    "one that is not puts it in doubt",
  ],
  "takes every failure for unsafe": [
    { rules: ({ fail }) => ({ fail: (known, fence, _, now) => fail(known, fence, false, now) }) },
    "opens the key to anyone",
  ],
  "keeps a doubt beside a recovery point": [
    {
      rules: ({ begin }) => ({
        begin: (...args) => {
          const { record, outcome } = begin(...args);
          return {
            record,
            outcome: outcome.kind === "acquired" ? { ...outcome, doubt: outcome.fence > 1 } : outcome,
          };
        },
      }),
    },
    "is not in doubt",
  ],
  "lets a safe failure settle an earlier doubt": [
    {
      rules: ({ fail }) => ({
        fail: (known, ...rest) => fail(known && { ...known, doubt: false }, ...rest),
      }),
    },
    "does not settle the doubt",
  ],
  "drops the recovery point when the holder fails": [
    {
      rules: ({ fail }) => ({
        fail: (...args) => {
          const { record, outcome } = fail(...args);
          return { record: record && { ...record, point: undefined }, outcome };
        },
      }),
    },
    "keeps doubt and recovery point",
  ],
  "keeps the first recovery point": [
    {
      rules: ({ checkpoint }) => ({
        checkpoint: (known, fence, point, ...rest) =>
          checkpoint(known, fence, known?.point ?? point, ...rest),
      }),
    },
    "resumes at the recovery point",
  ],
  "does not renew with a checkpoint": [
    {
      rules: ({ checkpoint }) => ({
        checkpoint: (known, fence, point, _, now) =>
          checkpoint(known, fence, point, (known?.lockedUntil ?? now) - now, now),
      }),
    },
    "as a renewal does",
  ],
  "does not renew": [
    {
      rules: ({ renew }) => ({
        renew: (known, ...rest) => ({ record: known, outcome: renew(known, ...rest).outcome }),
      }),
    },
    "renewals make the lock last",
  ],
  "refuses a late holder although nobody took over": [
    {
      rules: ({ renew, complete }) => ({
        renew: (known, fence, lock, now) =>
          known !== undefined && now >= known.lockedUntil
            ? { record: known, outcome: "lost" }
            : renew(known, fence, lock, now),
        complete: (known, fence, result, ttl, now) =>
          known?.state === "held" && now >= known.lockedUntil
            ? { record: known, outcome: "lost" }
            : complete(known, fence, result, ttl, now),
      }),
    },
    "still its holder's to write under",
  ],
  "lets a second completion overwrite the first": [
    {
      rules: ({ complete }) => ({
        complete: (known, ...rest) => complete(known && { ...known, state: "held" }, ...rest),
      }),
    },
    "a completed key never changes again",
  ],
  "refuses a repeated completion": [
    {
      rules: ({ complete }) => ({
        complete: (known, ...rest) =>
          known?.state === "done" ? { record: known, outcome: "lost" } : complete(known, ...rest),
      }),
    },
    "a write that is repeated",
  ],
  "keeps a result only as long as its begin said": [
    {
      rules: ({ complete }) => ({
        complete: (known, fence, result, _, now) => complete(known, fence, result, known?.ttlMs ?? 1, now),
      }),
    },
    "for as long as it says",
  ],
  "cuts long results": [
    {
      rules: ({ complete }) => ({
        complete: (known, fence, result, ...rest) => complete(known, fence, result.slice(0, 65_535), ...rest),
      }),
    },
    "100,000 characters",
  ],
  "joins scope and key with a colon": [
    { idOf: ({ scope, key }) => `${scope}:${key}` },
    "keeps keys of different scopes apart",
  ],
  "cuts long keys": [
    { idOf: ({ scope, key }) => JSON.stringify([scope, key]).slice(0, 20) },
    "keeps keys of different scopes apart",
  ],
};

describe("the suite for idempotency stores", () => {
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
