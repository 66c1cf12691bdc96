import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { systemClock } from "@holdfast/core";
import type { RunningServer } from "@holdfast/core/node";
import { serve } from "@holdfast/core/node";
import type { Queue, TaskHandler, Worker } from "@holdfast/queue";
import { defineTask, handle, memoryStore, queue, TaskNotFoundError, worker } from "@holdfast/queue";
import type { TaskSocketOptions } from "@holdfast/queue/ws";
import { isAllowedOrigin, serveTaskSocket } from "@holdfast/queue/ws";
import { manualClock } from "@holdfast/core/testing";
import type { ManualClock } from "@holdfast/core/testing";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { row } from "../../../tools/systems/row.mjs";
import { gate } from "./bench.ts";

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const double = defineTask<number, number, number>({ name: "double", timeout: "1h" });

interface Service {
  readonly server: RunningServer;
  readonly tasks: Queue;
  readonly sockets: WebSocketServer;
  readonly work: (handlers: readonly TaskHandler[]) => Worker;
  /** Connects, and collects what the server sends. */
  readonly connect: (options?: { readonly autoPong?: boolean }) => Promise<Client>;
}

async function start(
  options: Partial<TaskSocketOptions> & { readonly clock?: ManualClock } = {},
): Promise<Service> {
  const { clock, ...rest } = options;
  const store = memoryStore({ maxEvents: 3_000 });
  const tasks = queue({ name: "tasks", store, ...(clock === undefined ? {} : { clock }) });
  const sockets = new WebSocketServer({ noServer: true });
  const server = await serve(() => new Response("no"), {
    onUpgrade: ({ message, socket, head }) => {
      if (!isAllowedOrigin(message.headers)) return false;
      sockets.handleUpgrade(message, socket, head, (client) =>
        serveTaskSocket(client, { queue: tasks, request: message, ...rest }),
      );
      return true;
    },
  });
  closing.push(() => store.close());
  closing.push(() => server.close({ within: 0 }));
  closing.push(async () => {
    for (const client of sockets.clients) client.terminate();
  });
  return {
    server,
    tasks,
    sockets,
    work: (handlers) => {
      const working = worker(queue({ name: "tasks", store }), handlers, { grace: 0 });
      closing.push(() => working.close({ within: 0 }));
      return working;
    },
    connect: (given) => Client.open(server.port, given),
  };
}

interface Message {
  readonly type: "event" | "end" | "error";
  readonly id: string;
  readonly code?: string;
  readonly event?: { readonly seq: number; readonly type: string };
}

class Client {
  readonly messages: Message[] = [];
  readonly closed: Promise<number>;

  private constructor(readonly socket: WebSocket) {
    socket.on("message", (data: Buffer) => this.messages.push(JSON.parse(data.toString()) as Message));
    this.closed = new Promise((resolve) => socket.on("close", resolve));
  }

  static async open(port: number, options: { readonly autoPong?: boolean } = {}): Promise<Client> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, options);
    const client = new Client(socket);
    closing.push(async () => socket.terminate());
    await new Promise((resolve, reject) => {
      socket.on("open", resolve);
      socket.on("error", reject);
    });
    return client;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** Waits until `enough` of what has come. */
  async until(enough: (messages: readonly Message[]) => boolean): Promise<readonly Message[]> {
    await expect.poll(() => enough(this.messages), { timeout: 10_000, interval: 5 }).toBe(true);
    return this.messages;
  }

  get seqs(): readonly number[] {
    return this.messages.flatMap(({ event }) => (event === undefined ? [] : [event.seq]));
  }

  get types(): readonly string[] {
    return this.messages.map(({ type, event, code }) => event?.type ?? code ?? type);
  }
}

const hasEnded = (messages: readonly Message[]): boolean => messages.some(({ type }) => type === "end");

describe("a task's events over WebSocket", () => {
  it(row(79, "are pushed as they happen, up to completion"), async () => {
    const { tasks, work, connect } = await start();
    const held = gate();
    work([
      handle(double, async ({ input, progress }) => (await progress(50), await held.promise, input * 2)),
    ]);
    const { id } = await tasks.enqueue(double, 21);
    const client = await connect();
    client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 3);
    expect(client.types).toEqual(["enqueued", "started", "progress"]);
    held.open();
    await client.until(hasEnded);
    expect(client.types).toEqual(["enqueued", "started", "progress", "completed", "end"]);
    expect(client.messages.every((message) => message.id === id)).toBe(true);
  });

  it("resume behind the last one seen when a connection was lost, without a gap or a double", async () => {
    const { tasks, work, connect } = await start();
    const held = gate();
    work([
      handle(double, async ({ log, input }) => {
        for (let line = 0; line < 5; line += 1) await log(`${line}`);
        await held.promise;
        for (let line = 0; line < 5; line += 1) await log(`${line}`);
        return input;
      }),
    ]);
    const { id } = await tasks.enqueue(double, 1);
    const first = await connect();
    first.send({ type: "subscribe", id });
    await first.until((messages) => messages.length >= 4);
    first.socket.terminate();
    await first.closed;
    held.open();
    await tasks.wait(double, id);
    const second = await connect();
    second.send({ type: "subscribe", id, after: first.seqs.at(-1) });
    await second.until(hasEnded);
    expect([...first.seqs, ...second.seqs]).toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
  });

  it("of several tasks share a connection; one that is unsubscribed is told of no more", async () => {
    const { tasks, connect } = await start();
    const [a, b] = await tasks.enqueueMany(double, [{ input: 1 }, { input: 2 }]);
    const client = await connect();
    client.send({ type: "subscribe", id: a!.id });
    client.send({ type: "subscribe", id: b!.id });
    await client.until((messages) => messages.length === 2);
    client.send({ type: "unsubscribe", id: a!.id });
    client.send({ type: "unsubscribe", id: "never subscribed" });
    client.send({ type: "subscribe", id: b!.id, after: 1 });
    client.send({ type: "subscribe", id: "none" });
    await client.until((messages) => messages.length === 3);
    await tasks.cancel(a!.id);
    await tasks.cancel(b!.id);
    await client.until(hasEnded);
    expect(client.messages.map(({ id, event }) => [id, event?.type])).toEqual([
      [a!.id, "enqueued"],
      [b!.id, "enqueued"],
      ["none", undefined],
      [b!.id, "cancelled"],
      [b!.id, undefined],
    ]);
  });

  it("of a task that is not there are answered with an error, and the connection goes on", async () => {
    const { tasks, connect } = await start();
    const { id } = await tasks.enqueue(double, 1);
    const client = await connect();
    client.send({ type: "subscribe", id: "none" });
    await client.until((messages) => messages.length === 1);
    expect(client.messages[0]).toMatchObject({ type: "error", id: "none", code: "TASK_NOT_FOUND" });
    client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 2);
    expect(client.types).toEqual(["TASK_NOT_FOUND", "enqueued"]);
  });

  it("are told to those alone whom `authorize` lets", async () => {
    const { tasks, connect } = await start({
      authorize: async (id) => {
        if (id === "secret") throw new TaskNotFoundError(id);
        if (id === "broken") throw new Error("the password is 1234");
      },
    });
    for (const id of ["secret", "broken", "open"]) await tasks.enqueue(double, 1, { id });
    const client = await connect();
    for (const id of ["secret", "broken", "open"]) client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 3);
    expect(client.types.toSorted()).toEqual(["INTERNAL", "TASK_NOT_FOUND", "enqueued"]);
    expect(JSON.stringify(client.messages)).not.toContain("1234");
  });

  it("keep nothing in the store when the connection has gone", async () => {
    const { tasks, connect } = await start();
    const { id } = await tasks.enqueue(double, 1);
    const wait = tasks.store.waitForEvents.bind(tasks.store);
    const gone = gate<unknown>();
    tasks.store.waitForEvents = (...args) => {
      const waiting = wait(...args);
      waiting.catch(gone.open);
      return waiting;
    };
    const client = await connect();
    client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 1);
    client.socket.terminate();
    expect(await gone.promise).toMatchObject({ name: "AbortError" });
  });
});

describe("a WebSocket connection", () => {
  it.each([
    ["no JSON", "hello"],
    ["no object", "null"],
    ["of an unknown type", { type: "shout", id: "x" }],
    ["without an ID", { type: "subscribe" }],
    ["with an ID that is too long", { type: "subscribe", id: "x".repeat(101) }],
    ["with a point that cannot be", { type: "subscribe", id: "x", after: -1 }],
    ["with a point that is no number", { type: "subscribe", id: "x", after: "1" }],
  ])("is closed with 1007 after a message that is %s", async (_, message) => {
    const { connect } = await start();
    const client = await connect();
    client.send(message);
    expect(await client.closed).toBe(1007);
  });

  it("is closed with 1007 after a binary message", async () => {
    const { connect } = await start();
    const client = await connect();
    client.socket.send(Buffer.from('{"type":"subscribe","id":"x"}'));
    expect(await client.closed).toBe(1007);
  });

  it("is not listened to any more once it is being closed", async () => {
    const { tasks, connect } = await start();
    const { id } = await tasks.enqueue(double, 1);
    const client = await connect();
    client.send("hello");
    client.send({ type: "subscribe", id });
    expect(await client.closed).toBe(1007);
    expect(client.messages).toEqual([]);
  });

  it("has so many subscriptions and no more", async () => {
    const { tasks, connect } = await start({ maxSubscriptions: 2 });
    const added = await tasks.enqueueMany(double, [{ input: 1 }, { input: 2 }, { input: 3 }]);
    const [a, b, c] = added.map(({ id }) => id);
    const client = await connect();
    for (const id of [a, b, c]) client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 3);
    expect(client.messages.find(({ type }) => type === "error")).toMatchObject({
      id: c,
      code: "TOO_MANY_SUBSCRIPTIONS",
    });
    // The same again takes no second place, and one that has ended gives its place back.
    client.send({ type: "subscribe", id: a, after: 1 });
    await tasks.cancel(b!);
    await client.until(hasEnded);
    client.send({ type: "subscribe", id: c });
    await client.until((messages) => messages.some(({ id, type }) => id === c && type === "event"));
  });

  it("is ended when a ping is not answered, and not before", async () => {
    const clock = manualClock();
    const { connect, sockets } = await start({ clock, pingEvery: "30s" });
    const deaf = await connect({ autoPong: false });
    const well = await connect();
    let pings = 0;
    well.socket.on("ping", () => (pings += 1));
    await clock.advance("30s");
    await expect.poll(() => pings, { interval: 5 }).toBe(1);
    // Lets the pong arrive.
    await systemClock.sleep(50);
    expect(sockets.clients.size).toBe(2);
    await clock.advance("30s");
    expect(await deaf.closed).toBe(1006);
    expect(well.socket.readyState).toBe(WebSocket.OPEN);
    well.socket.terminate();
    await well.closed;
    await expect.poll(() => clock.pendingTimers, { interval: 5 }).toBe(0);
  });

  it("takes a long backlog that a fast reader reads as fast as it can", async () => {
    const { tasks, connect } = await start({ maxBufferedBytes: 100_000 });
    const { id } = await tasks.enqueue(double, 1);
    const [held] = await tasks.store.claim("tasks", { worker: "w", max: 1, leaseMs: 60_000 });
    const value = "x".repeat(8_000);
    const reports = Array.from({ length: 2_500 }, () => ({ kind: "progress" as const, value }));
    await tasks.store.report("tasks", [{ ...held!, reports }]);
    await tasks.store.settle("tasks", [{ ...held!, kind: "complete", result: { text: "1", blobs: [] } }]);
    const client = await connect();
    client.send({ type: "subscribe", id });
    await Promise.race([client.closed, client.until(hasEnded)]);
    expect(client.types.at(-1)).toBe("end");
    expect(client.seqs).toHaveLength(2_503);
  });

  it("[must-survive 37] is closed with 1013 when its reader is slow, with no more in memory than it may have", async () => {
    const clock = manualClock();
    const { tasks, connect, sockets } = await start({ clock, maxBufferedBytes: 100_000, pingEvery: "1h" });
    const { id } = await tasks.enqueue(double, 1);
    const [held] = await tasks.store.claim("tasks", { worker: "w", max: 1, leaseMs: 600_000 });
    const client = await connect();
    client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length > 0);
    client.socket.pause();
    const line = "x".repeat(2_000);
    let most = 0;
    const server = [...sockets.clients][0]!;
    for (let batch = 0; batch < 200 && server.readyState === WebSocket.OPEN; batch += 1) {
      const reports = Array.from({ length: 100 }, () => ({ kind: "log" as const, line }));
      await tasks.store.report("tasks", [{ ...held!, reports }]);
      await clock.advance("1s");
      await systemClock.sleep(1);
      most = Math.max(most, server.bufferedAmount);
    }
    expect(server.readyState).not.toBe(WebSocket.OPEN);
    expect(most).toBeLessThan(100_000 + 10_000);
    client.socket.resume();
    expect(await client.closed).toBe(1013);
    await tasks.store.settle("tasks", [{ ...held!, kind: "complete", result: { text: "1", blobs: [] } }]);
    const back = await connect();
    back.send({ type: "subscribe", id, after: client.seqs.at(-1) });
    await back.until(hasEnded);
    expect(back.types.at(-2)).toBe("completed");
    const seqs = [...client.seqs, ...back.seqs];
    expect(seqs).toEqual([...new Set(seqs)].toSorted((x, y) => x - y));
  });
});

describe("a server of task events", () => {
  it("[must-survive 37] reads no message that is too long for it, though its sockets would take 100 MiB", async () => {
    const { tasks, connect } = await start();
    const { id } = await tasks.enqueue(double, 1);
    for (const padding of [5_000, 1 << 20]) {
      const client = await connect();
      client.send({ type: "subscribe", id, after: 0, padding: "x".repeat(padding) });
      expect(await client.closed).toBe(1009);
      expect(client.messages).toEqual([]);
    }
    const client = await connect();
    client.send({ type: "subscribe", id, padding: "x".repeat(3_000) });
    await client.until((messages) => messages.length === 1);
  });

  it.each([50, 5_000])("[must-survive 37] outlives upgrades with %i headers, in any order", async (count) => {
    const { server, tasks, connect } = await start();
    const flood = Array.from({ length: count }, (_, index) => `x${index}: 1`);
    const upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"];
    const key = "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==";
    const orders = [
      [...flood, ...upgrade, key],
      [...upgrade, key, ...flood],
      [...upgrade, ...flood, key],
    ];
    const statuses = await Promise.all(
      orders.map((headers) =>
        firstLine(server.port, `GET / HTTP/1.1\r\nHost: here\r\n${headers.join("\r\n")}\r\n\r\n`),
      ),
    );
    expect(statuses.map((line) => line.split(" ")[1])).toEqual(
      orders.map(() => (count < 100 ? "101" : "431")),
    );
    const { id } = await tasks.enqueue(double, 1);
    const client = await connect();
    client.send({ type: "subscribe", id });
    await client.until((messages) => messages.length === 1);
  });

  /** Of what a server answers to what is sent as it is. */
  async function firstLine(port: number, text: string): Promise<string> {
    const socket = connectTcp(port, "127.0.0.1");
    closing.push(async () => socket.destroy());
    socket.on("error", () => {});
    socket.write(text);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    return chunk.toString().split("\r\n")[0]!;
  }
});

describe("the origin of an upgrade", () => {
  it.each([
    [{ host: "app.example" }, [], true],
    [{ host: "app.example", origin: "https://app.example" }, [], true],
    [{ host: "app.example:8080", origin: "http://app.example:8080" }, [], true],
    [{ host: "app.example", origin: "https://evil.example" }, [], false],
    [{ host: "app.example", origin: "https://app.example.evil.example" }, [], false],
    [{ host: "app.example", origin: "null" }, [], false],
    [{ host: "app.example", origin: "https://other.example" }, ["https://other.example"], true],
    [{ origin: "https://other.example" }, [], false],
  ])("%o with %o listed: %s", (headers, allowed, isAllowed) => {
    expect(isAllowedOrigin(headers, allowed)).toBe(isAllowed);
  });

  it("[must-survive 37] keeps other pages out of a server that asks", async () => {
    const { server } = await start();
    const status = await new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, { origin: "https://evil.example" });
      socket.on("unexpected-response", (_request, response) => resolve(response.statusCode));
      socket.on("open", () => resolve("open"));
      socket.on("error", () => {});
    });
    expect(status).not.toBe("open");
  });
});

it("refuses options of a socket that are out of range", async () => {
  const { tasks } = await start();
  const socket = { on: () => {}, bufferedAmount: 0 } as never;
  for (const options of [{ maxSubscriptions: 0 }, { maxBufferedBytes: 0 }, { pingEvery: 0 }])
    expect(() => serveTaskSocket(socket, { queue: tasks, request: { headers: {} }, ...options })).toThrow(
      /INVALID_OPTION|must be|serveTaskSocket/,
    );
});
