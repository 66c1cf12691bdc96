// Clients that race, crash and come back late under one key, on any store: what must hold however they interleave.
import type { IdempotencyStore, KeyRef } from "@holdfast/core";
import { ensure } from "@holdfast/core/testing";
import fc from "fast-check";

/** What happens next. Clients are numbered; time is in locks. */
export type Step =
  | {
      readonly do: "begin";
      readonly client: number;
      readonly takeDoubtful: boolean;
      readonly lostReply: boolean;
    }
  | { readonly do: "effect" | "checkpoint" | "renew" | "crash" | "release"; readonly client: number }
  | { readonly do: "complete"; readonly client: number; readonly lostReply: boolean }
  | { readonly do: "fail"; readonly client: number; readonly retryable: boolean }
  | { readonly do: "wait"; readonly locks: number };

const CLIENTS = 3;
const client = fc.nat(CLIENTS - 1);

/** Any order of what clients can do. */
export const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("begin" as const),
        client,
        takeDoubtful: fc.boolean(),
        lostReply: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom("effect" as const, "checkpoint" as const, "renew" as const),
        client,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("crash" as const, "release" as const), client }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("complete" as const), client, lostReply: fc.boolean() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("fail" as const), client, retryable: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), locks: fc.constantFrom(0.5, 1) }) },
  ),
  { minLength: 4, maxLength: 24 },
);

/** What a client believes, and what it has done. */
interface Client {
  owner: string;
  fence: number | undefined;
  /** What it was told when it was given the key. */
  doubt: boolean;
  /** Whether it has had its effect under this lease, and not yet said how it ended. */
  unspoken: boolean;
}

/** Runs the steps on a store and checks, after each, what must hold. Keys are remembered for longer than it takes. */
export async function tryOut(
  store: IdempotencyStore,
  ref: KeyRef,
  plan: readonly Step[],
  { lockMs, wait }: { readonly lockMs: number; readonly wait: (ms: number) => Promise<void> },
): Promise<void> {
  const clients: Client[] = Array.from({ length: CLIENTS }, () => idle());
  const fences: number[] = [];
  /** The latest fence that was handed out: the only one whose writes may be taken. */
  let newest = 0;
  /** Whether an effect has happened about which the store has heard nothing. */
  let unrecorded = false;
  let result: string | undefined;
  const ttlMs = lockMs * 1_000;

  for (const step of plan) {
    if (step.do === "wait") {
      await wait(step.locks * lockMs);
      continue;
    }
    const one = clients[step.client]!;
    const lease = { ...ref, fence: one.fence ?? -1 };
    switch (step.do) {
      case "begin": {
        const ask = () =>
          store.begin({
            ...ref,
            fingerprint: "f",
            owner: one.owner,
            lockTtlMs: lockMs,
            ttlMs,
            takeDoubtful: step.takeDoubtful,
          });
        if (step.lostReply) await ask();
        const answer = await ask();
        ensure(
          (answer.kind === "replay") === (result !== undefined),
          `${answer.kind}, with a result or without`,
        );
        if (answer.kind === "replay") ensure(answer.result === result, `replayed ${answer.result}`);
        if (answer.kind !== "acquired") break;
        const isNew = answer.fence !== one.fence;
        if (isNew) {
          ensure(
            fences.every((fence) => fence < answer.fence),
            `fence ${answer.fence} after ${fences.join(", ")}`,
          );
          fences.push(answer.fence);
          // The heart of it: an effect that nobody has heard of is never repeated without a warning, nor without a
          // point to resume at.
          ensure(
            !unrecorded || answer.doubt || answer.point !== undefined,
            "a key was handed out without doubt after an unrecorded effect",
          );
          newest = answer.fence;
          one.unspoken = false;
        }
        one.fence = answer.fence;
        one.doubt = answer.doubt;
        break;
      }
      case "effect":
        if (one.fence === newest && result === undefined) one.unspoken = unrecorded = true;
        break;
      case "crash":
        clients[step.client] = idle();
        break;
      case "release":
        // Only for a begin under which nothing was run.
        if (!one.unspoken) await store.release(ref, one.owner);
        if (!one.unspoken) clients[step.client] = idle();
        break;
      case "renew":
      case "checkpoint": {
        const outcome =
          step.do === "renew"
            ? await store.renew(lease, lockMs)
            : await store.checkpoint(lease, { name: "p", data: "1" }, lockMs);
        mayWrite(outcome, one, step.do);
        if (step.do === "checkpoint" && outcome === "ok") unrecorded = one.unspoken = false;
        break;
      }
      case "complete": {
        const text = `"by ${one.fence}"`;
        if (step.lostReply) await store.complete(lease, text, ttlMs);
        const outcome = await store.complete(lease, text, ttlMs);
        mayWrite(outcome, one, "complete");
        if (outcome === "ok") {
          ensure(result === undefined || result === text, `${result} was overwritten by ${text}`);
          result = text;
          unrecorded = false;
        }
        break;
      }
      case "fail": {
        // A sound operation says that it is safe only when it has had no effect.
        const outcome = await store.fail(lease, step.retryable && !one.unspoken);
        mayWrite(outcome, one, "fail");
        if (outcome === "ok") clients[step.client] = idle();
        break;
      }
    }
  }

  function mayWrite(outcome: string, { fence }: Client, what: string): void {
    ensure(
      outcome !== "ok" || fence === newest,
      `${what} was taken under fence ${fence}; the newest is ${newest}`,
    );
  }
}

function idle(): Client {
  return { owner: crypto.randomUUID(), fence: undefined, doubt: false, unspoken: false };
}
