import { constant } from "@holdfast/core";
import type { QueueStore, Saga, Steps, TaskContext } from "@holdfast/queue";
import { defineTask, handle, hasEnded, PermanentError } from "@holdfast/queue";
import { leakCheck } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

/** One thing a handler does. */
type Act =
  | { readonly kind: "step"; readonly fails: number; readonly forGood: boolean }
  | { readonly kind: "pair"; readonly fails: number }
  | { readonly kind: "sleep"; readonly ms: number }
  | { readonly kind: "wait"; readonly told: Told };

/** When a task is told of an event: in time, when it no longer waits, or never. */
type Told = "early" | "late" | "never";

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constant("step" as const), fails: fc.nat(1), forGood: fc.constant(false) }),
  fc.record({ kind: fc.constant("step" as const), fails: fc.constant(0), forGood: fc.boolean() }),
  fc.record({ kind: fc.constant("pair" as const), fails: fc.nat(1) }),
  fc.record({ kind: fc.constant("sleep" as const), ms: fc.constantFrom(0, 500, 60_000) }),
  fc.record({ kind: fc.constant("wait" as const), told: fc.constantFrom<Told>("early", "late", "never") }),
);

/** What happens to a worker at one of its calls to the store: nothing, or it is never heard of again before or after. */
type Fate = "lives" | "lost before" | "lost after";
const fates = fc.array(fc.constantFrom<Fate>("lives", "lives", "lives", "lost before", "lost after"), {
  maxLength: 25,
});

const LEASE_MS = 10_000;
const work = defineTask<string, string>({
  name: "work",
  attempts: 60,
  leaseLosses: 1_000,
  backoff: constant("1s"),
});

/** The store as one worker sees it, whose fate is decided at each of its writes. */
function fated(store: QueueStore, next: () => Fate, onLost: () => void): QueueStore {
  let isLost = false;
  const gone = new Promise<never>(() => {});
  return new Proxy(store, {
    get(target, key: keyof QueueStore) {
      const method = target[key];
      if (typeof method !== "function") return method;
      return async (...args: never[]) => {
        if (isLost) return gone;
        const fate = key === "checkpoint" || key === "settle" ? next() : "lives";
        const call = (): Promise<unknown> =>
          (method as (...given: never[]) => Promise<unknown>).apply(target, args);
        if (fate === "lives") return call();
        isLost = true;
        onLost();
        if (fate === "lost after") await call();
        return gone;
      };
    },
  });
}

/** How often each thing ran, and what its outcome was recorded as. */
class World {
  readonly ran = new Map<string, number>();
  readonly outcomes = new Map<string, unknown>();
  readonly faults: string[] = [];

  /** A step's function: fails so often, then answers how often it has run. */
  do(name: string, { fails, forGood }: { readonly fails: number; readonly forGood?: boolean }): number {
    const times = (this.ran.get(name) ?? 0) + 1;
    this.ran.set(name, times);
    if (times <= fails) throw new Error("not yet");
    if (forGood === true) throw new PermanentError("never", { code: `NEVER_${times}` });
    return times;
  }

  /** What a step answered must be what it answered before, to whichever run. */
  saw(name: string, outcome: unknown): void {
    if (this.outcomes.has(name) && this.outcomes.get(name) !== outcome)
      this.faults.push(`${name}: ${String(this.outcomes.get(name))}, then ${String(outcome)}`);
    this.outcomes.set(name, outcome);
  }
}

async function perform(
  step: Pick<Steps, "run">,
  all: Steps,
  world: World,
  acts: readonly Act[],
): Promise<void> {
  for (const [at, one] of acts.entries()) {
    const name = `${one.kind} ${at}`;
    if (one.kind === "sleep") await all.sleep(name, one.ms);
    else if (one.kind === "wait")
      world.saw(name, await all.waitFor<string>(`event-${at}`, { timeout: "5m" }));
    else if (one.kind === "pair") {
      const [left, right] = await Promise.all([
        step.run(`${name} left`, () => world.do(`${name} left`, one)),
        step.run(`${name} right`, async () => world.do(`${name} right`, { fails: 0 })),
      ]);
      world.saw(name, left * 1_000 + right);
    } else {
      const outcome = await step
        .run(name, () => world.do(name, one))
        .catch((error: Error & { code?: string }) => {
          if (error.code?.startsWith("NEVER_") === true) return error.code;
          throw error;
        });
      // What it goes past is recorded before the next one runs.
      await step.run(`${name} behind`, () => world.do(`${name} behind`, { fails: 0 }));
      world.saw(name, outcome);
    }
  }
}

/** Runs a task on workers of which one after the other is lost, until none is to be lost any more. */
async function live(
  handler: (context: TaskContext<string>) => Promise<string>,
  plan: readonly Fate[],
  told: (at: number) => Told,
  acts: number,
) {
  const { clock, store, queue } = bench();
  const leaks = leakCheck({ clocks: [clock] });
  let at = 0;
  let lost = 0;
  const workers: ReturnType<ReturnType<typeof bench>["work"]>[] = [];
  const start = (): void => {
    const next = (): Fate => plan[at++] ?? "lives";
    const seen = fated(store, next, () => {
      lost += 1;
      start();
    });
    workers.push(bench({ store: seen, clock }).work([handle(work, handler)], { lease: LEASE_MS, grace: 0 }));
  };
  start();
  const { id } = await queue.enqueue(work, "in");
  for (let turn = 0; turn < 400 && !hasEnded(await queue.status(id)); turn += 1) {
    await clock.advance(turn % 2 === 0 ? 5_000 : 20_000);
    for (let index = 0; index < acts; index += 1)
      if ((turn === 1 && told(index) === "early") || (turn > 30 && told(index) === "late"))
        await queue.signal(id, `event-${index}`, "told");
  }
  const status = await queue.status(id);
  const ends: string[] = [];
  for await (const { type } of queue.events(id)) if (hasEnded({ state: type as never })) ends.push(type);
  const names = (await store.checkpoints("bench", id)).map(({ name }) => name);
  const closing = workers.map((working) => working.close({ within: "1s" }));
  await clock.advance("2m");
  await Promise.all(closing);
  await store.close();
  await clock.advance("2m");
  leaks.assertNone();
  return { status, ends, names, lost };
}

describe("programs of steps whose workers are lost at any write", () => {
  it("end once, with each outcome the same in every run, and run what is recorded no more", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 6 }), fates, async (acts, plan) => {
        const world = new World();
        const { status, ends, names, lost } = await live(
          async ({ step, fence }) => {
            await perform(step, step, world, acts);
            return String(fence);
          },
          plan,
          (at) => (acts[at]?.kind === "wait" ? acts[at].told : "never"),
          acts.length,
        );
        expect(world.faults).toEqual([]);
        expect([status.state, ...ends]).toEqual(["completed", "completed"]);
        expect(new Set(names).size).toBe(names.length);
        for (const [name, times] of world.ran) {
          const one = acts.find((_, at) => name.startsWith(`${acts[at]!.kind} ${at}`)) as { fails?: number };
          // Once, once more for each failure of its own, and once more for each worker that was lost.
          const most = 1 + (name.endsWith("right") || name.endsWith("behind") ? 0 : (one.fails ?? 0)) + lost;
          expect(times, name).toBeLessThanOrEqual(most);
        }
        if (lost === 0)
          for (const [name, times] of world.ran)
            expect(times, name).toBe(
              1 +
                (/right|behind/.test(name)
                  ? 0
                  : ((acts[Number(name.split(" ")[1])] as { fails?: number }).fails ?? 0)),
            );
      }),
      { numRuns: 150 },
    );
  });

  it("that are sagas are done, or undone in exactly the reverse order, each step once it has begun", async () => {
    const sagaStep = fc.record({ fails: fc.nat(1), undoFails: fc.nat(2) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(sagaStep, { minLength: 1, maxLength: 5 }),
        fc.option(fc.nat(5), { nil: undefined }),
        fates,
        async (steps, brokenAt, plan) => {
          const world = new World();
          const undone: string[] = [];
          const body = async (saga: Saga): Promise<string> => {
            for (const [at, { fails, undoFails }] of steps.entries()) {
              if (at === brokenAt) throw new PermanentError("broken", { code: "BROKEN" });
              await saga.run(`${at}`, () => world.do(`do ${at}`, { fails }), {
                compensate: (outcome) => {
                  world.saw(`outcome ${at}`, outcome);
                  world.do(`undo ${at}`, { fails: undoFails });
                  undone.push(`${at}`);
                },
              });
            }
            return "done";
          };
          const { status, ends, names, lost } = await live(
            ({ step }) => step.saga("saga", body, { compensationTries: 100 }),
            plan,
            () => "never",
            0,
          );
          expect(world.faults).toEqual([]);
          const isBroken = brokenAt !== undefined && brokenAt < steps.length;
          expect([status.state, ...ends]).toEqual(
            isBroken ? ["failed", "failed"] : ["completed", "completed"],
          );
          if (!isBroken) {
            expect(undone).toEqual([]);
            return;
          }
          expect(status).toMatchObject({ error: { code: "SAGA_COMPENSATED" } });
          const begun = steps.slice(0, brokenAt).map((_, at) => `${at}`);
          const recorded = (prefix: string): string[] =>
            names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
          expect(recorded("begun:saga:")).toEqual(begun);
          expect(recorded("undone:saga:")).toEqual(begun.toReversed());
          // One whose worker was lost before it was recorded is undone again, before any other.
          expect(undone.filter((one, index) => one !== undone[index - 1])).toEqual(begun.toReversed());
          expect(undone.length).toBeLessThanOrEqual(begun.length + lost);
        },
      ),
      { numRuns: 150 },
    );
  });
});
