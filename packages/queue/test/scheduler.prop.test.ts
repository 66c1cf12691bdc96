import type { QueueStore } from "@holdfast/queue";
import { defineTask, queue as makeQueue } from "@holdfast/queue";
import type { Missed, Scheduler } from "@holdfast/queue/cron";
import { schedule, scheduler } from "@holdfast/queue/cron";
import type { Clock } from "@holdfast/core";
import { seededRandom } from "@holdfast/core";
import { manualClock } from "@holdfast/core/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bench } from "./bench.ts";

const job = defineTask<string, string, string>({ name: "job" });
const start = Date.UTC(2026, 10, 21);
const everyMs = 60_000;

/** What happens to a call: nothing, it is lost on its way, its answer is, or it takes a while. */
type Fate = "answered" | "lost" | "answer lost" | "slow";

/** A process: its own view of the store and the time, and an end that nothing announces. */
interface Process {
  readonly working: Scheduler;
  readonly kill: () => void;
}

const act = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("advance"), ms: fc.integer({ min: 1, max: 150_000 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("start"), skewMs: fc.integer({ min: -30_000, max: 30_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("kill"), ms: fc.nat(10) }) },
);

async function play(
  missed: Missed,
  acts: readonly { readonly kind: string; readonly ms?: number; readonly skewMs?: number }[],
  fates: readonly Fate[],
) {
  const clock = manualClock(start);
  const { store } = bench({ clock });
  const fired: number[] = [];
  let call = 0;

  const processOf = (skewMs: number, isHealthy: boolean): Process => {
    let isDead = false;
    const never = new Promise<never>(() => {});
    const seen = new Proxy(store, {
      get(target, verb: keyof QueueStore) {
        const method = target[verb] as unknown;
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          const fate = isHealthy ? "answered" : fates[(call += 1) % fates.length];
          if (isDead || fate === "lost") return never;
          if (fate === "slow") await clock.sleep("3s");
          if (isDead) return never;
          const answer: unknown = await (method as (...given: unknown[]) => Promise<unknown>).apply(
            target,
            args,
          );
          if (verb === "fire" && answer === "fired") fired.push((args[1] as { nextAt: number }).nextAt);
          return fate === "answer lost" || isDead ? never : answer;
        };
      },
    });
    const own: Clock = {
      now: () => clock.now() + skewMs,
      monotonic: () => clock.monotonic(),
      sleep: (...args) => clock.sleep(...args),
      setTimer: (...args) => clock.setTimer(...args),
    };
    const entry = schedule({ key: "tick", every: everyMs, missed, task: job, input: "x" });
    const queue = makeQueue({ name: "bench", store: seen, clock: own });
    const working = scheduler(queue, [entry], { random: seededRandom(call), deadline: "5s" });
    return { working, kill: () => (isDead = true) };
  };

  const running = [processOf(0, true)];
  await clock.advance(1);
  for (const { kind, ms, skewMs } of acts) {
    if (kind === "advance") await clock.advance(ms!);
    else if (kind === "start") running.push(processOf(skewMs!, false));
    else running.splice(ms! % Math.max(1, running.length), 1)[0]?.kill();
  }
  const last = processOf(0, true);
  await clock.advance("5m");
  const now = clock.now();
  const closing = [...running, last].map(({ working }) => working.close({ within: "1s" }));
  // Calls that are on their way still arrive.
  await clock.advance("10s");
  await Promise.all(closing);
  const ids = (await store.list("bench", "ready", 1_000)).map(({ id }) => id);
  const { added } = await store.meter("bench");
  await store.close();
  const times = ids.map((id) => Date.parse(id.slice("tick:".length))).toSorted((a, b) => a - b);
  return { times, fired, added, now };
}

const games = fc.tuple(
  fc.array(act, { maxLength: 25 }),
  fc.array(fc.constantFrom<Fate>("answered", "answered", "answered", "lost", "answer lost", "slow"), {
    minLength: 1,
    maxLength: 30,
  }),
);

describe("any number of schedulers, whose processes die and whose calls are lost", () => {
  it("add a task for every time, and none twice, where all are to be made up for", async () => {
    await fc.assert(
      fc.asyncProperty(games, async ([acts, fates]) => {
        const { times, fired, added, now } = await play("all", acts, fates);
        const expected = [];
        for (let at = start + everyMs; at <= now; at += everyMs) expected.push(at);
        // One whose clock is ahead may have been early, or had a call on its way.
        const early = times.slice(expected.length);
        expect(times).toEqual([...expected, ...early]);
        expect(early.every((at) => at <= now + 40_000)).toBe(true);
        expect(added).toBe(times.length);
        // Moved on once for each: no second try was hidden by the first one's ID.
        expect(fired).toEqual(times);
      }),
      { numRuns: 150 },
    );
  });

  it("add no task twice and are up to date in the end, where the latest is to be made up for", async () => {
    await fc.assert(
      fc.asyncProperty(games, async ([acts, fates]) => {
        const { times, fired, added, now } = await play("latest", acts, fates);
        expect(new Set(times).size).toBe(times.length);
        expect(times.every((at) => at % everyMs === 0)).toBe(true);
        expect(added).toBe(fired.length);
        expect(times.at(-1)).toBeGreaterThan(now - everyMs);
      }),
      { numRuns: 150 },
    );
  });
});
