import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { systemClock } from "@holdfast/core";
import type { RequestEvent } from "@holdfast/gpu-pool";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { row } from "../../../tools/systems/row.mjs";
import { decode } from "../src/image/codec.ts";
import type { Inference } from "../src/inference.ts";
import { startInference } from "../src/inference.ts";
import { MAX_LIVE_TASKS } from "../src/limits.ts";
import type { Event, State, Task } from "../src/scenario/client.ts";
import { Client } from "../src/scenario/client.ts";
import { asJpeg, asPng, bomb, drawn } from "../src/scenario/pictures.ts";

const JSON_TYPE = "application/json";
/** Seconds of work for a thread. */
const LONG = JSON.stringify({ prompt: "aurora over a northern island", width: 2_048, height: 2_048 });
const SHORT = JSON.stringify({ prompt: "a lake", width: 64, height: 64 });

let service: Inference;
let client: Client;
const requests: RequestEvent[] = [];
const listen = (event: unknown): void => void requests.push(event as RequestEvent);

beforeAll(async () => {
  subscribe("holdfast:gpu-pool:request", listen);
  service = await startInference({
    port: 0,
    threads: 2,
    models: new URL("../dist/models.js", import.meta.url),
    page: new URL("../dist/page/", import.meta.url),
  });
  client = new Client(service.url, systemClock);
});

afterEach(() => {
  requests.length = 0;
});

afterAll(async () => {
  await service.close(1_000);
  unsubscribe("holdfast:gpu-pool:request", listen);
});

const state = (): Promise<State> => client.get<State>("/v1/state");
const isRunning = ({ state: is }: Task): boolean => is === "running";
const isCompleted = ({ state: is }: Task): boolean => is === "completed";

describe("the inference service", () => {
  it(
    row([9, 77, 78], "answers a task ID at once; what threads have no time for waits in the queue"),
    async () => {
      const long = await Promise.all([0, 1].map(() => client.submit("/v1/tasks", LONG, JSON_TYPE)));
      for (const task of long) await client.poll(task, isRunning);
      const response = await client.send("/v1/tasks", SHORT, JSON_TYPE);
      expect(response.status).toBe(202);
      expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
      const waiting = (await response.json()) as Task & { readonly links: { readonly self: string } };
      expect(waiting).toMatchObject({ state: "ready", done: false });
      expect(response.headers.get("location")).toBe(waiting.links.self);
      expect((await state()).queue).toMatchObject({ ready: 1, running: 2 });

      for (const task of long) expect(await client.cancel(task)).toMatchObject({ state: "cancelled" });
      await client.poll(waiting.links.self, isCompleted);
      expect(decode(await client.result(waiting.links.self), "image/png")).toMatchObject({
        width: 64,
        height: 64,
      });
    },
  );

  it("stops the work itself when a task is cancelled, and keeps its thread", async () => {
    const task = await client.submit("/v1/tasks", LONG, JSON_TYPE);
    await client.poll(task, ({ progress }) => (progress?.done ?? 0) > 0);
    await client.cancel(task);
    await expect.poll(async () => (await state()).pool.running, { timeout: 10_000 }).toBe(0);
    expect(requests).toMatchObject([{ outcome: "cancelled", model: "landscape@1" }]);
    const { pool } = await client.get<{ pool: { devices: readonly object[] } }>("/v1/state");
    for (const device of pool.devices) expect(device).toMatchObject({ status: "up", failuresInARow: 0 });
    const result = await fetch(`${service.url}${task}/result`);
    expect([result.status, result.headers.get("content-type")]).toEqual([409, "application/problem+json"]);
  });

  it(row(80, "is polled by task ID, and answers the result: a PNG"), async () => {
    const noisy = asPng(drawn(160, 120, 25));
    const task = await client.submit("/v1/tasks?op=denoise&strength=20", noisy, "image/png");
    await client.poll(task, isCompleted);
    const response = await fetch(`${service.url}${task}/result`);
    expect(response.headers.get("content-type")).toBe("image/png");
    const picture = decode(new Uint8Array(await response.arrayBuffer()), "image/png");
    expect(picture).toMatchObject({ width: 160, height: 120 });
  });

  it(
    row(79, "pushes progress and completion by WebSocket, and resumes behind the event last seen"),
    async () => {
      const task = await client.submit(
        "/v1/tasks?op=upscale&factor=3",
        asJpeg(drawn(120, 90, 0)),
        "image/jpeg",
      );
      const events = await client.push(task);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      expect([events[0]?.type, events.at(-1)?.type]).toEqual(["enqueued", "completed"]);
      expect(events.some(({ type }) => type === "progress")).toBe(true);
      expect(await client.push(task, events.length - 1)).toEqual(events.slice(-1));
    },
  );

  it("streams the same by Server-Sent Events, and resumes from Last-Event-ID", async () => {
    const task = await client.submit("/v1/tasks?op=style&style=ink", asPng(drawn(120, 90, 0)), "image/png");
    const events = await client.stream(task);
    expect([events[0]?.type, events.at(-1)?.type]).toEqual(["enqueued", "completed"]);
    const resumed = await fetch(`${service.url}${task}/events`, { headers: { "last-event-id": "2" } });
    expect(resumed.headers.get("content-type")).toBe("text/event-stream");
    expect(await resumed.text()).toMatch(/^id: 3\n/);
  });

  it(row(81, "gives each of many tasks to exactly one of its threads, and uses all of them"), async () => {
    const tasks = await Promise.all(
      Array.from({ length: 12 }, (_, index) => {
        const body = JSON.stringify({ ...(JSON.parse(SHORT) as object), prompt: `picture ${index}` });
        return client.submit("/v1/tasks", body, JSON_TYPE);
      }),
    );
    for (const task of tasks) {
      const types = (await client.stream(task)).map(({ type }: Event) => type);
      expect(types.filter((type) => type === "started" || type === "completed")).toEqual([
        "started",
        "completed",
      ]);
    }
    expect(requests.map(({ outcome }) => outcome)).toEqual(tasks.map(() => "succeeded"));
    expect(new Set(requests.map(({ device }) => device)).size).toBe(2);
  });

  const png = asPng(drawn(64, 64, 0));
  const jpegNamedPng = asJpeg(drawn(64, 64, 0));
  const refusals: readonly (readonly [string, number, string, string, Uint8Array | string, string])[] = [
    ["too large a body", 413, "PAYLOAD_TOO_LARGE", "?op=denoise", new Uint8Array(10_000_001), "image/png"],
    ["another type", 415, "UNSUPPORTED_MEDIA_TYPE", "", "hello", "text/plain"],
    ["no picture", 422, "BROKEN_IMAGE", "?op=denoise", "not a picture", "image/png"],
    ["half a picture", 422, "BROKEN_IMAGE", "?op=denoise", png.subarray(0, png.length >> 1), "image/png"],
    ["a JPEG called PNG", 422, "BROKEN_IMAGE", "?op=denoise", jpegNamedPng, "image/png"],
    ["a decompression bomb", 422, "TOO_MANY_PIXELS", "?op=denoise", bomb(), "image/png"],
    ["no operation", 400, "UNKNOWN_OPERATION", "", png, "image/png"],
    ["an unknown operation", 400, "UNKNOWN_OPERATION", "?op=sing", png, "image/png"],
    ["a parameter out of range", 400, "BAD_PARAMETER", "?op=upscale&factor=9", png, "image/png"],
    ["another operation's parameter", 400, "BAD_PARAMETER", "?op=upscale&style=oil", png, "image/png"],
    ["no JSON", 400, "MALFORMED_BODY", "", "{", JSON_TYPE],
    ["no prompt", 422, "BAD_PROMPT", "", "{}", JSON_TYPE],
    ["too long a prompt", 422, "BAD_PROMPT", "", JSON.stringify({ prompt: "a".repeat(301) }), JSON_TYPE],
    ["too large a picture", 422, "BAD_PROMPT", "", JSON.stringify({ prompt: "a", width: 1e6 }), JSON_TYPE],
  ];
  for (const [name, status, code, query, body, type] of refusals)
    it(`refuses ${name} with ${status}, before there is a task`, async () => {
      const before = (await state()).queue;
      const response = await client.send(`/v1/tasks${query}`, body, type);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect({ http: response.status, ...((await response.json()) as object) }).toMatchObject({
        http: status,
        status,
        code,
      });
      expect((await state()).queue).toEqual(before);
      expect((await fetch(`${service.url}/health`)).status).toBe(200);
    });

  it("answers 404 to what it does not know", async () => {
    for (const path of ["/v1/tasks/none", "/v1/tasks/none/events", "/v1/tasks/none/result", "/nothing"]) {
      const response = await fetch(service.url + path);
      expect([path, response.status, response.headers.get("content-type")]).toEqual([
        path,
        404,
        "application/problem+json",
      ]);
      await response.body?.cancel();
    }
  });

  it("refuses with 503 and Retry-After what it has no room for, and loses nothing it took", async () => {
    const blockers = await Promise.all([0, 1].map(() => client.submit("/v1/tasks", LONG, JSON_TYPE)));
    const taken: string[] = [];
    let refused: Response | undefined;
    for (let count = blockers.length; count <= MAX_LIVE_TASKS; count += 1) {
      const response = await client.send("/v1/tasks", SHORT, JSON_TYPE);
      if (response.status === 202) taken.push(response.headers.get("location")!);
      else refused = response;
      await response.body?.cancel();
    }
    expect(taken.length).toBe(MAX_LIVE_TASKS - blockers.length);
    expect(refused?.status).toBe(503);
    // By what was measured: overload.int.test.ts waits for it.
    expect(refused?.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    await Promise.all(blockers.map((task) => client.cancel(task)));
    for (const task of taken) expect((await client.stream(task)).at(-1)?.type).toBe("completed");
  });

  it("takes WebSockets from its own pages and from programs, not from other sites", async () => {
    const outcome = (options: object, path = "/v1/ws"): Promise<string> =>
      new Promise((resolve) => {
        const socket = new WebSocket(service.url.replace("http", "ws") + path, options);
        socket.on("error", ({ message }) => resolve(message));
        socket.on("open", () => {
          socket.close();
          resolve("open");
        });
      });
    expect(await outcome({ origin: service.url })).toBe("open");
    expect(await outcome({})).toBe("open");
    expect(await outcome({ origin: "https://elsewhere.example" })).toMatch(/426|403/);
    expect(await outcome({}, "/elsewhere")).toMatch(/426|404/);
  });

  it("counts what it does, for Prometheus", async () => {
    const task = await client.submit("/v1/tasks", SHORT, JSON_TYPE);
    await client.stream(task);
    const text = await (await fetch(`${service.url}/metrics`)).text();
    expect(text).toMatch(
      /^messaging_process_duration_seconds_count\{.*task="picture",settlement="complete".*\} \d+$/m,
    );
    expect(text).toMatch(
      /^holdfast_gpu_pool_request_duration_seconds_count\{pool="pictures",model="landscape@1"/m,
    );
  });

  it("serves its page under a policy that lets nothing else in", async () => {
    const response = await fetch(service.url);
    expect(response.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; script-src 'self';/,
    );
    expect(await response.text()).toContain("<title>");
  });
});
