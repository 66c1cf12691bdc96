import { connect } from "node:net";
import type { Socket } from "node:net";
import { RequestError, systemClock } from "@holdfast/core";
import type { RunningServer } from "@holdfast/core/node";
import { serve } from "@holdfast/core/node";
import type { Queue, TaskHandler, Worker } from "@holdfast/queue";
import { defineTask, handle, memoryStore, PermanentError, queue, worker } from "@holdfast/queue";
import type { TaskApiOptions } from "@holdfast/queue/http";
import { taskApi } from "@holdfast/queue/http";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { row } from "../../../tools/systems/row.mjs";
import { gate } from "./bench.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const double = defineTask({ name: "double", input: z.object({ n: z.number() }), attempts: 1 });

interface Service {
  readonly url: string;
  readonly server: RunningServer;
  readonly tasks: Queue;
  readonly work: (handlers: readonly TaskHandler[]) => Worker;
}

async function start(options: Partial<TaskApiOptions> & { readonly limit?: number } = {}): Promise<Service> {
  const { limit, ...rest } = options;
  const store = memoryStore();
  const tasks = queue({
    name: "tasks",
    store,
    maxPayloadBytes: 10_000,
    ...(limit === undefined ? {} : { limit }),
  });
  const api = taskApi({ queue: tasks, task: double as never, ...rest });
  const server = await serve(api);
  closing.push(() => store.close());
  closing.push(() => server.close({ within: 0 }));
  const work = (handlers: readonly TaskHandler[]): Worker => {
    const working = worker(tasks, handlers, { grace: 0 });
    closing.push(() => working.close({ within: 0 }));
    return working;
  };
  return { url: server.url, server, tasks, work };
}

function post(url: string, body: unknown, type: string = "application/json"): Promise<Response> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(`${url}/tasks`, { method: "POST", body: text, headers: { "content-type": type } });
}

interface Body {
  readonly id: string;
  readonly state: string;
  readonly done: boolean;
  readonly links: { readonly self: string; readonly events: string; readonly result?: string };
}

async function submit({ url }: Service, body: unknown = { n: 21 }): Promise<Body> {
  const response = await post(url, body);
  expect(response.status).toBe(202);
  return (await response.json()) as Body;
}

/** A problem's status and code; it must be one (RFC 9457). */
async function problem(response: Response): Promise<readonly [number, unknown]> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const body = (await response.json()) as { status: number; code: string; title: string };
  expect(body.status).toBe(response.status);
  return [response.status, body.code];
}

describe("tasks over HTTP", () => {
  it(row([9, 77], "answers 202 with a Location and the task at once, while nobody works on it"), async () => {
    const service = await start();
    const response = await post(service.url, { n: 21 });
    expect(response.status).toBe(202);
    const body = (await response.json()) as Body;
    expect(body).toMatchObject({ state: "ready", done: false, attempt: 0, name: "double" });
    expect(response.headers.get("location")).toBe(`/tasks/${body.id}`);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(body.links).toEqual({ self: `/tasks/${body.id}`, events: `/tasks/${body.id}/events` });
  });

  it(row(80, "is polled by ID: Retry-After until the task is done, then a link to its result"), async () => {
    const service = await start();
    const held = gate();
    service.work([handle(double, async ({ input }) => (await held.promise, { twice: input.n * 2 }))]);
    const { links } = await submit(service);
    const early = await fetch(`${service.url}${links.self}`);
    expect([early.status, early.headers.get("retry-after")]).toEqual([200, "1"]);
    expect(await problem(await fetch(`${service.url}${links.self}/result`))).toEqual([409, "NOT_READY"]);
    held.open();
    const late = await fetch(`${service.url}${links.self}`, { headers: { prefer: "wait=10" } });
    expect(late.headers.get("preference-applied")).toBe("wait=10");
    expect(late.headers.has("retry-after")).toBe(false);
    const body = (await late.json()) as Body;
    expect(body).toMatchObject({ state: "completed", done: true });
    const result = await fetch(`${service.url}${body.links.result}`);
    expect([result.status, await result.json()]).toEqual([200, { twice: 42 }]);
  });

  it("holds an answer back for `Prefer: wait`, no longer than asked for and allowed", async () => {
    const service = await start({ maxWaitSeconds: 1 });
    const { links } = await submit(service);
    const response = await fetch(`${service.url}${links.self}`, {
      headers: { prefer: "respond-async, wait=600" },
    });
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    expect((await response.json()) as Body).toMatchObject({ state: "ready", done: false });
    for (const prefer of ["wait=0", "wait=-1", "wait=soon", "return=minimal"]) {
      const now = await fetch(`${service.url}${links.self}`, { headers: { prefer } });
      expect(now.headers.has("preference-applied")).toBe(false);
    }
  });

  it("answers a result that is a file as its bytes, of its own type and nothing else", async () => {
    const service = await start();
    const bytes = new Uint8Array([137, 80, 78, 71, 0, 255]);
    service.work([handle(double, () => ({ contentType: "image/png", bytes }))]);
    const { links } = await submit(service);
    await fetch(`${service.url}${links.self}`, { headers: { prefer: "wait=10" } });
    const response = await fetch(`${service.url}${links.self}/result`);
    expect(response.headers.get("content-type")).toBe("image/png");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  it("answers null for a result that is nothing", async () => {
    const service = await start();
    service.work([handle(double, () => undefined)]);
    const { links } = await submit(service);
    await fetch(`${service.url}${links.self}`, { headers: { prefer: "wait=10" } });
    expect(await (await fetch(`${service.url}${links.self}/result`)).json()).toBeNull();
  });

  it("answers the failure of a failed task, and the reason of a cancelled one, where its result would be", async () => {
    const service = await start();
    service.work([
      handle(double, () => {
        throw new PermanentError("no such account", { code: "NO_ACCOUNT" });
      }),
    ]);
    const failed = await submit(service);
    await fetch(`${service.url}${failed.links.self}`, { headers: { prefer: "wait=10" } });
    const response = await fetch(`${service.url}${failed.links.self}/result`);
    expect(await response.clone().json()).toMatchObject({ reason: "NO_ACCOUNT", detail: "no such account" });
    expect(await problem(response)).toEqual([500, "TASK_FAILED"]);
    const { id } = await service.tasks.enqueue(double, { n: 1 }, { delay: "1h" });
    await service.tasks.cancel(id, "not wanted");
    const cancelled = await fetch(`${service.url}/tasks/${id}/result`);
    expect(await problem(cancelled)).toEqual([409, "TASK_CANCELLED"]);
  });

  it("cancels by DELETE, which aborts the handler; again, it answers the same", async () => {
    const service = await start();
    const aborted = gate<unknown>();
    const began = gate();
    service.work([
      handle(double, ({ signal }) => {
        began.open();
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => {
            aborted.open(signal.reason);
            reject(signal.reason as Error);
          }),
        );
      }),
    ]);
    const { links } = await submit(service);
    await began.promise;
    for (let times = 0; times < 2; times += 1) {
      const response = await fetch(`${service.url}${links.self}`, { method: "DELETE" });
      expect(response.status).toBe(200);
      expect((await response.json()) as Body).toMatchObject({ state: "cancelled", done: true });
    }
    expect(await aborted.promise).toMatchObject({ code: "TASK_CANCELLED", reason: "cancelled over HTTP" });
  });

  it("names the task there is when a dedup key comes again", async () => {
    const service = await start({
      submit: async (request) => ({
        task: double as never,
        input: { n: 1 },
        options: { dedupKey: ((await request.json()) as { key: string }).key },
      }),
    });
    const first = await submit(service, { key: "k" });
    expect((await submit(service, { key: "k" })).id).toBe(first.id);
    expect((await submit(service, { key: "l" })).id).not.toBe(first.id);
  });
});

describe("what is wrong with a request", () => {
  const cases: readonly (readonly [string, (url: string) => Promise<Response>, number, string])[] = [
    ["another media type", (url) => post(url, "n=1", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"],
    ["broken JSON", (url) => post(url, "{"), 400, "MALFORMED_BODY"],
    ["input that does not fit the schema", (url) => post(url, { n: "many" }), 422, "INVALID_PAYLOAD"],
    [
      "a body beyond the limit",
      (url) => post(url, { n: 1, pad: "x".repeat(20_000) }),
      413,
      "PAYLOAD_TOO_LARGE",
    ],
    ["an unknown task", (url) => fetch(`${url}/tasks/none`), 404, "TASK_NOT_FOUND"],
    ["the result of an unknown task", (url) => fetch(`${url}/tasks/none/result`), 404, "TASK_NOT_FOUND"],
    ["the events of an unknown task", (url) => fetch(`${url}/tasks/none/events`), 404, "TASK_NOT_FOUND"],
    [
      "a cancel of an unknown task",
      (url) => fetch(`${url}/tasks/none`, { method: "DELETE" }),
      404,
      "TASK_NOT_FOUND",
    ],
    ["an unknown part of a task", (url) => fetch(`${url}/tasks/none/secrets`), 404, "NOT_FOUND"],
    ["an ID that cannot be one", (url) => fetch(`${url}/tasks/a%20b`), 404, "NOT_FOUND"],
    ["an address elsewhere", (url) => fetch(`${url}/taskstasks`), 404, "NOT_FOUND"],
    ["a list of tasks", (url) => fetch(`${url}/tasks`), 405, "METHOD_NOT_ALLOWED"],
    ["a write to a task", (url) => fetch(`${url}/tasks/none`, { method: "PUT" }), 405, "METHOD_NOT_ALLOWED"],
    [
      "a DELETE of a result",
      (url) => fetch(`${url}/tasks/none/result`, { method: "DELETE" }),
      405,
      "METHOD_NOT_ALLOWED",
    ],
  ];

  it.each(cases)("is said as a problem: %s", async (_, ask, status, code) => {
    const { url, tasks } = await start();
    expect(await problem(await ask(url))).toEqual([status, code]);
    expect((await tasks.stats()).ready).toBe(0);
  });

  it("is said with what is allowed", async () => {
    const { url } = await start();
    expect((await fetch(`${url}/tasks`)).headers.get("allow")).toBe("POST");
    expect((await fetch(`${url}/tasks/x`, { method: "PATCH" })).headers.get("allow")).toBe("GET, DELETE");
    expect((await fetch(`${url}/tasks/x/events`, { method: "POST" })).headers.get("allow")).toBe("GET");
  });

  it("is a full queue: 503 with Retry-After, and nothing lost", async () => {
    const service = await start({ limit: 1 });
    await submit(service);
    const response = await post(service.url, { n: 2 });
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await problem(response)).toEqual([503, "QUEUE_FULL"]);
    expect((await service.tasks.stats()).ready).toBe(1);
  });

  it("is an event ID that is no number", async () => {
    const service = await start();
    const { links } = await submit(service);
    const response = await fetch(`${service.url}${links.events}`, { headers: { "last-event-id": "x" } });
    expect(await problem(response)).toEqual([400, "BAD_EVENT_ID"]);
  });

  it("is whatever `authorize` throws, before anything is done or told", async () => {
    const denied = new RequestError(403, "FORBIDDEN", "not yours");
    const seen: (string | undefined)[] = [];
    const { url, tasks } = await start({
      authorize: (request, id) => {
        seen.push(id);
        if (request.headers.get("x-user") !== "me") throw denied;
      },
    });
    const { id } = await tasks.enqueue(double, { n: 1 });
    expect((await post(url, { n: 1 })).status).toBe(403);
    expect((await fetch(`${url}/tasks/${id}`)).status).toBe(403);
    expect((await fetch(`${url}/tasks/${id}`, { method: "DELETE" })).status).toBe(403);
    expect((await fetch(`${url}/tasks/${id}/events`)).status).toBe(403);
    expect((await fetch(`${url}/tasks/${id}`, { headers: { "x-user": "me" } })).status).toBe(200);
    expect(seen).toEqual([undefined, id, id, id, id]);
    expect((await tasks.stats()).ready).toBe(1);
  });

  it("leaves the server up", async () => {
    const service = await start();
    for (const [, ask] of cases) await ask(service.url);
    expect((await submit(service)).state).toBe("ready");
  });
});

describe("events over Server-Sent Events", () => {
  /** Events of a stream, until it ends or there are `max`. */
  async function read(
    response: Response,
    max: number = Infinity,
  ): Promise<readonly { seq: number; type: string }[]> {
    const events: { seq: number; type: string }[] = [];
    const decoder = new TextDecoder();
    let text = "";
    const reader = response.body!.getReader();
    while (events.length < max) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
      const messages = text.split("\n\n");
      text = messages.pop()!;
      for (const message of messages) {
        const [, id, type, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(message) ?? [];
        if (id === undefined) continue;
        expect(JSON.parse(data!)).toMatchObject({ seq: Number(id), type });
        events.push({ seq: Number(id), type: type! });
      }
    }
    // Cuts the connection when there is more.
    await reader.cancel();
    return events;
  }

  it("stream what has happened and what happens, and end with the task", async () => {
    const service = await start();
    const held = gate();
    service.work([handle(double, async ({ progress }) => (await progress(50), await held.promise, 1))]);
    const { links } = await submit(service);
    const response = await fetch(`${service.url}${links.events}`);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const reading = read(response);
    held.open();
    expect((await reading).map(({ type }) => type)).toEqual(["enqueued", "started", "progress", "completed"]);
  });

  it("resume behind Last-Event-ID after a cut connection, without a gap or a double", async () => {
    const service = await start();
    const gates = [gate(), gate()];
    service.work([
      handle(double, async ({ log }) => {
        for (let line = 0; line < 5; line += 1) await log(`before ${line}`);
        await gates[0]!.promise;
        for (let line = 0; line < 5; line += 1) await log(`while away ${line}`);
        await gates[1]!.promise;
        return 1;
      }),
    ]);
    const { links } = await submit(service);
    const first = await read(await fetch(`${service.url}${links.events}`), 4);
    gates[0]!.open();
    const after = { "last-event-id": String(first.at(-1)!.seq) };
    const resumed = read(await fetch(`${service.url}${links.events}`, { headers: after }));
    gates[1]!.open();
    const all = [...first, ...(await resumed)].map(({ seq }) => seq);
    expect(all).toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
    const byQuery = await read(await fetch(`${service.url}${links.events}?after=11`));
    expect(byQuery.map(({ seq }) => seq)).toEqual([12, 13]);
  });

  it("end for good with 204 behind the last event of an ended task, so that browsers do not come back", async () => {
    const service = await start();
    service.work([handle(double, () => 1)]);
    const { links } = await submit(service);
    const events = await read(await fetch(`${service.url}${links.events}`));
    const last = { "last-event-id": String(events.at(-1)!.seq) };
    expect((await fetch(`${service.url}${links.events}`, { headers: last })).status).toBe(204);
  });

  it("keep nothing for a reader who has gone", async () => {
    const service = await start();
    const { links, id } = await submit(service);
    const before = service.tasks.store.waitForEvents.bind(service.tasks.store);
    const ended = gate<unknown>();
    service.tasks.store.waitForEvents = (...args) => {
      const waiting = before(...args);
      waiting.catch(ended.open);
      return waiting;
    };
    await read(await fetch(`${service.url}${links.events}`), 1);
    expect(await ended.promise).toMatchObject({ name: "AbortError" });
    expect((await service.tasks.status(id)).state).toBe("ready");
  });

  it("cost no memory for a slow reader: what it misses shows as a gap in the numbers", async () => {
    const service = await start();
    const { id } = await service.tasks.enqueue(double, { n: 1 });
    const store = service.tasks.store;
    const [held] = await store.claim("tasks", { worker: "w", max: 1, leaseMs: 60_000 });
    const socket = await opened(service.server.port);
    socket.pause();
    socket.write(`GET /tasks/${id}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    const line = "x".repeat(2_000);
    const batches = 400;
    for (let batch = 0; batch < batches; batch += 1) {
      const reports = Array.from({ length: 50 }, () => ({ kind: "log" as const, line }));
      await store.report("tasks", [{ ...held!, reports }]);
      // Lets the server write what it would write.
      await systemClock.sleep(1);
    }
    await store.settle("tasks", [{ ...held!, kind: "complete", result: { text: "1", blobs: [] } }]);
    let text = "";
    socket.on("data", (data) => (text += data.toString("latin1")));
    socket.resume();
    await new Promise((resolve) => socket.on("close", resolve));
    expect(text.length).toBeLessThan((batches * 50 * line.length) / 2);
    const seqs = [...text.matchAll(/\nid: (\d+)\n/g)].map(([, seq]) => Number(seq));
    expect(seqs.some((seq, index) => index > 0 && seq > seqs[index - 1]! + 1)).toBe(true);
    expect(seqs.at(-1)).toBe(batches * 50 + 3);
    expect(text).toContain("event: completed");
  });
});

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}
