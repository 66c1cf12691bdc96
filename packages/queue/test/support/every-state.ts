// A queue with tasks in every state, and with texts that would be markup if anybody took them for it.
import type { Queue } from "@holdfast/queue";
import { defineTask, encodePayload } from "@holdfast/queue";
import type { ClaimedTask, NewTask } from "@holdfast/queue";

export const EVIL = `<script>document.title = "owned"</script><img src=x onerror="document.title='owned'">`;

const LEASE_MS = 600_000;
const thumbnail = defineTask({ name: "thumbnail", attempts: 5 });
const evil = defineTask({ name: EVIL, attempts: 1 });

export interface Filled {
  /** IDs of what failed, the oldest first. */
  readonly failed: readonly string[];
  readonly completed: string;
  readonly running: string;
  readonly parent: string;
  readonly child: string;
}

/** Fills an empty queue. Tasks that run have a lease of ten minutes of a worker that does nothing. */
export async function fill(queue: Queue): Promise<Filled> {
  const { store, name } = queue;
  const take = async (task: typeof thumbnail, worker: string): Promise<ClaimedTask> => {
    await queue.enqueue(task, { url: "https://images.example/7.png" }, { priority: 1_000 });
    const [claimed] = await store.claim(name, { worker, max: 1, leaseMs: LEASE_MS });
    return claimed!;
  };

  const { id: completed, ...lease } = await take(thumbnail, "worker-1");
  await store.checkpoint(name, { id: completed, fence: lease.fence }, [
    { name: "download", value: encodePayload({ bytes: 81_920 }, 1_000) },
    { name: "resize", value: encodePayload(EVIL, 1_000) },
  ]);
  await store.report(name, [
    { id: completed, fence: lease.fence, reports: [{ kind: "log", line: `a line ${EVIL}` }] },
  ]);
  const result = encodePayload({ width: 128, note: EVIL }, 10_000);
  await store.settle(name, [{ kind: "complete", id: completed, fence: lease.fence, result }]);

  const failed: string[] = [];
  for (const [task, code, message] of [
    [thumbnail, "TIMEOUT", "images.example did not answer within 10 s"],
    [evil, "Error", EVIL],
    [thumbnail, "UNSUPPORTED_MEDIA_TYPE", "no picture: text/html"],
    [thumbnail, "TIMEOUT", "images.example did not answer within 10 s"],
  ] as const) {
    const { id, fence } = await take(task, "worker-2");
    await store.settle(name, [{ kind: "fail", id, fence, error: { code, message } }]);
    failed.push(id);
  }

  const running = await take(thumbnail, "worker-1");
  await store.checkpoint(name, running, [{ name: "download", value: encodePayload(1, 100) }]);
  await store.report(name, [
    {
      ...ref(running),
      reports: [
        { kind: "progress", value: 40 },
        { kind: "log", line: "halfway there" },
      ],
    },
  ]);
  const parent = await take(thumbnail, "worker-3");
  const child = { ...newTask("child-1"), parent: parent.id };
  await store.enqueue(name, [child], { limit: 1_000 });
  await store.settle(name, [{ kind: "suspend", ...ref(parent), children: true }]);
  const listening = await take(thumbnail, "worker-3");
  await store.settle(name, [
    { kind: "suspend", ...ref(listening), events: ["approved"], delayMs: 86_400_000 },
  ]);
  const retried = await take(thumbnail, "worker-3");
  const error = { code: "RATE_LIMITED", message: "come back later" };
  const retry = { delayMs: 90_000, backoffState: 1 };
  await store.settle(name, [{ kind: "fail", ...ref(retried), error, retry }]);

  const { id: unwanted } = await queue.enqueue(thumbnail, {});
  await queue.cancel(unwanted, `no longer wanted ${EVIL}`);
  await queue.enqueue(thumbnail, {}, { delay: "3h" });
  await queue.enqueue(thumbnail, {}, { group: "customer-7", tenant: "acme", priority: 5 });
  await queue.enqueue(evil, {});
  await store.setSchedule(name, { key: "nightly-report", text: EVIL, nextAt: queue.clock.now() + 7_200_000 });
  return { failed, completed, running: running.id, parent: parent.id, child: child.id };
}

function ref({ id, fence }: ClaimedTask): { readonly id: string; readonly fence: number } {
  return { id, fence };
}

function newTask(id: string): NewTask {
  return {
    id,
    name: "thumbnail",
    input: encodePayload({}, 100),
    delayMs: 0,
    priority: 0,
    maxAttempts: 3,
    maxLeaseLosses: 5,
    keepMs: 3_600_000,
    keepFailedMs: 3_600_000,
  };
}
