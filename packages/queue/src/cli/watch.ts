// Throughput as it is: one line for each look.
import type { Clock } from "@holdfast/core";
import { amount, duration } from "../operate/format.ts";
import type { Queue } from "../queue/queue-contract.ts";
import type { QueueMeter, QueueStats } from "../store/store.ts";
import type { CommandLine } from "./command-line.ts";

interface Look {
  readonly at: number;
  readonly meter: QueueMeter;
  readonly counts: QueueStats;
}

/** Looks again and again until it is stopped, or as often as it was told. */
export async function watch(
  { everyMs, count, json }: CommandLine,
  queue: Queue,
  clock: Clock,
  stop: AbortSignal,
  out: (text: string) => void,
): Promise<void> {
  let before = await lookAt(queue, clock);
  for (let turn = 0; turn < (count ?? Infinity); turn += 1) {
    const isStopped = await clock.sleep(everyMs, stop, { keepAlive: true }).then(
      () => false,
      () => true,
    );
    if (isStopped) return;
    const now = await lookAt(queue, clock);
    const data = difference(before, now);
    out(json ? `${JSON.stringify(data)}\n` : `${words(data)}\n`);
    before = now;
  }
}

async function lookAt(queue: Queue, clock: Clock): Promise<Look> {
  const [meter, counts] = await Promise.all([queue.meter(), queue.stats()]);
  return { at: clock.monotonic(), meter, counts };
}

/** Rates are per second, times in milliseconds. */
interface Difference {
  readonly ready: number;
  readonly running: number;
  readonly scheduled: number;
  readonly deadLetters: number;
  readonly added: number;
  readonly completed: number;
  readonly failed: number;
  readonly retried: number;
  readonly waitMs: number | null;
  readonly runMs: number | null;
  readonly paused: boolean;
}

function difference(one: Look, other: Look): Difference {
  const seconds = Math.max(0.001, (other.at - one.at) / 1_000);
  const more = (
    of: "added" | "started" | "completed" | "failed" | "retried" | "waitedMs" | "ranMs",
  ): number => Math.max(0, other.meter[of] - one.meter[of]);
  const rate = (of: "added" | "completed" | "failed" | "retried"): number =>
    Number((more(of) / seconds).toFixed(2));
  const { ready, running, scheduled, failed } = other.counts;
  return {
    ready,
    running,
    scheduled,
    deadLetters: failed,
    added: rate("added"),
    completed: rate("completed"),
    failed: rate("failed"),
    retried: rate("retried"),
    waitMs: more("started") > 0 ? Math.round(more("waitedMs") / more("started")) : null,
    runMs: more("completed") > 0 ? Math.round(more("ranMs") / more("completed")) : null,
    paused: other.meter.paused,
  };
}

function words(data: Difference): string {
  const mean = (ms: number | null): string => (ms === null ? "–" : duration(ms));
  return [
    `ready ${amount(data.ready)}`,
    `running ${amount(data.running)}`,
    `dead ${amount(data.deadLetters)}`,
    `added ${amount(data.added)}/s`,
    `completed ${amount(data.completed)}/s`,
    `failed ${amount(data.failed)}/s`,
    `retried ${amount(data.retried)}/s`,
    `wait ${mean(data.waitMs)}`,
    `run ${mean(data.runMs)}`,
    ...(data.paused ? ["paused"] : []),
  ].join("  ");
}
