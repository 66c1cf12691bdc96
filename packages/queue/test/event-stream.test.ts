import { defineTask, handle } from "@holdfast/queue";
import { taskApi } from "@holdfast/queue/http";
import { leakCheck } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import type { Bench } from "./bench.ts";
import { bench, closed } from "./bench.ts";

const double = defineTask<number, number, number>({ name: "double" });

async function streamed(at: Bench) {
  const { id } = await at.queue.enqueue(double, 1);
  const response = await taskApi({ queue: at.queue })(new Request(`http://localhost/tasks/${id}/events`));
  const reader = response.body!.getReader();
  const read = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
  return { id, reader, read };
}

describe("a stream of events", () => {
  it("is kept open by a comment every 15 s while nothing happens", async () => {
    const at = bench();
    const { id, read, reader } = await streamed(at);
    expect(await read()).toMatch(/^id: 1\nevent: enqueued\n/);
    for (let beats = 0; beats < 3; beats += 1) {
      const beat = read();
      await at.clock.advance("15s");
      expect(await beat).toBe(": still here\n\n");
    }
    const next = read();
    await at.settle();
    await at.queue.cancel(id);
    expect(await next).toMatch(/^id: 2\nevent: cancelled\n/);
    expect((await reader.read()).done).toBe(true);
  });

  it("asks the store for events when its reader does, not before", async () => {
    const at = bench();
    let asked = 0;
    const events = at.store.events.bind(at.store);
    at.store.events = (...args) => ((asked += 1), events(...args));
    const { read } = await streamed(at);
    await at.settle();
    expect(asked).toBe(0);
    await read();
    await at.settle();
    expect(asked).toBe(1);
  });

  it("leaves no timer and no wait behind when its reader has gone", async () => {
    const at = bench();
    const leaks = leakCheck({ clocks: [at.clock] });
    const { read, reader } = await streamed(at);
    await read();
    const pending = read();
    await at.settle();
    await reader.cancel();
    await pending;
    await at.settle();
    leaks.assertNone();
  });
});

describe("a long poll", () => {
  it("ends when its client has gone, also before it began", async () => {
    const at = bench();
    const { id } = await at.queue.enqueue(double, 1);
    const leaks = leakCheck({ clocks: [at.clock] });
    const gone = new AbortController();
    const ask = () =>
      taskApi({ queue: at.queue })(
        new Request(`http://localhost/tasks/${id}`, { headers: { prefer: "wait=60" }, signal: gone.signal }),
      );
    const waiting = ask();
    await at.settle();
    gone.abort();
    expect((await waiting).status).toBe(200);
    expect((await ask()).status).toBe(200);
    await at.settle();
    leaks.assertNone();
  });

  it("is answered when its time is up, and at once when the task ends", async () => {
    const at = bench();
    const api = taskApi({ queue: at.queue });
    const { id } = await at.queue.enqueue(double, 1);
    const ask = async () => {
      const request = new Request(`http://localhost/tasks/${id}`, { headers: { prefer: "wait=30" } });
      return (await (await api(request)).json()) as { state: string };
    };
    const first = ask();
    await at.clock.advance("30s");
    expect((await first).state).toBe("ready");
    const second = ask();
    await at.settle();
    const working = at.work([handle(double, ({ input }) => input)]);
    expect((await second).state).toBe("completed");
    await closed(working, at.clock);
  });
});

it("refuses options of the API that are out of range", () => {
  const { queue } = bench();
  expect(() => taskApi({ queue, base: "" })).toThrow(/base/);
  expect(() => taskApi({ queue, maxWaitSeconds: 601 })).toThrow(/maxWaitSeconds/);
});
