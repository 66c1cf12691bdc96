// What the doctor looks at in a queue, whatever its store.
import { duration } from "../operate/format.ts";
import type { Queue } from "../queue/queue-contract.ts";

/** One thing that was looked at. A `fault` loses tasks or keeps them from being run; a `warning` is worth a look. */
export interface Check {
  readonly name: string;
  readonly level: "ok" | "warning" | "fault";
  readonly text: string;
}

/** A task that has waited this long while nothing runs waits for a worker that is not there. */
const STUCK_MS = 60_000;
const OLD_MS = 300_000;
const LATE_MS = 60_000;

export async function queueChecks(queue: Queue): Promise<readonly Check[]> {
  const [stats, meter, running, schedules] = await Promise.all([
    queue.stats(),
    queue.meter(),
    queue.list("running", 1_000),
    queue.schedules(),
  ]);
  const now = queue.clock.now();
  const headMs = meter.headAddedAt === undefined ? 0 : Math.max(0, now - meter.headAddedAt);
  const lost = running.filter((task) => task.state === "running" && task.leaseEndsAt < now - 1_000).length;
  const shaky = running.filter(({ leaseLosses }) => leaseLosses > 0).length;
  const late = schedules.filter(({ nextAt }) => nextAt < now - LATE_MS);
  return [
    meter.paused
      ? {
          name: "paused",
          level: "warning",
          text: "the queue is paused: nothing is started until it is resumed",
        }
      : { name: "paused", level: "ok", text: "not paused" },
    ...(meter.added === 0
      ? [
          {
            name: "tasks",
            level: "warning" as const,
            text: "none was ever added here: is that the name of the queue?",
          },
        ]
      : []),
    headCheck(headMs, stats.running, meter.paused),
    stats.failed > 0
      ? { name: "dead letters", level: "warning", text: `${stats.failed}: look at them with dead-letters` }
      : { name: "dead letters", level: "ok", text: "none" },
    lost > 0
      ? { name: "leases", level: "warning", text: `${lost} of ${running.length} that run have run out` }
      : { name: "leases", level: "ok", text: `${running.length} held, none has run out` },
    shaky > 0
      ? { name: "lost workers", level: "warning", text: `${shaky} tasks that run have lost a worker before` }
      : { name: "lost workers", level: "ok", text: "no task that runs has lost one" },
    late.length > 0
      ? {
          name: "schedules",
          level: "fault",
          text: `${late.length} of ${schedules.length} are late by more than a minute ("${late[0]!.key.slice(0, 60)}"): is a scheduler running?`,
        }
      : { name: "schedules", level: "ok", text: `${schedules.length}, none is late` },
  ];
}

function headCheck(headMs: number, running: number, paused: boolean): Check {
  const name = "waiting";
  const text = headMs === 0 ? "nothing has waited" : `the next task has waited ${duration(headMs)}`;
  if (!paused && running === 0 && headMs > STUCK_MS)
    return { name, level: "fault", text: `${text} and nothing runs: is a worker running?` };
  return { name, level: headMs > OLD_MS ? "warning" : "ok", text };
}
