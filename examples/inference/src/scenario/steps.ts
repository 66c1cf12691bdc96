// What the scenario does, step by step. Each answers what it saw, or throws.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decode } from "../image/codec.ts";
import type { Client, Event, State, Task } from "./client.ts";
import { asJpeg, asPng, bomb, drawn } from "./pictures.ts";

/** A step by its title. */
export interface Step {
  readonly title: string;
  readonly run: (client: Client, folder: string) => Promise<string>;
}

const prompt = (text: string, width = 960, height = 640): string =>
  JSON.stringify({ prompt: text, width, height });

export const STEPS: readonly Step[] = [
  {
    title: "service is healthy",
    run: async (client) => {
      const { status } = await client.get<{ readonly status: string }>("/health");
      expect(status === "up", `health is ${status}`);
      return `GET /health: ${status}`;
    },
  },
  {
    title: "prompt, followed by polling",
    run: async (client, folder) => {
      const task = await client.submit("/v1/tasks", prompt("a mountain lake at sunset"), "application/json");
      const { looks, task: ended } = await client.poll(task, ({ state }) => state === "completed");
      return `${await saved(client, task, folder, "lake.png", 960, 640)} · ${took(ended)} · ${looks} looks`;
    },
  },
  {
    title: "PNG denoised, followed by SSE",
    run: async (client, folder) => {
      const picture = asPng(drawn(480, 320, 30));
      const task = await client.submit("/v1/tasks?op=denoise&strength=25", picture, "image/png");
      const events = await client.stream(task);
      await checked(client, task, events);
      return `${await saved(client, task, folder, "denoised.png", 480, 320)} · ${told(events)}`;
    },
  },
  {
    title: "JPEG upscaled 3×, followed by WebSocket",
    run: async (client, folder) => {
      const picture = asJpeg(drawn(400, 300, 0));
      const task = await client.submit("/v1/tasks?op=upscale&factor=3", picture, "image/jpeg");
      const events = await client.push(task);
      await checked(client, task, events);
      return `${await saved(client, task, folder, "upscaled.png", 1_200, 900)} · ${told(events)}`;
    },
  },
  {
    title: "two styles at a time",
    run: async (client, folder) => {
      const picture = asPng(drawn(640, 420, 0));
      const tasks = await Promise.all(
        ["oil", "ink"].map((style) =>
          client.submit(`/v1/tasks?op=style&style=${style}`, picture, "image/png"),
        ),
      );
      await Promise.all(tasks.map((task) => client.stream(task)));
      const [oil, ink] = tasks as [string, string];
      return `${await saved(client, oil, folder, "oil.png", 640, 420)} · ${await saved(client, ink, folder, "ink.png", 640, 420)}`;
    },
  },
  {
    title: "prompt, cancelled while it runs",
    run: async (client) => {
      const body = prompt("aurora over a northern island", 2_048, 2_048);
      const task = await client.submit("/v1/tasks", body, "application/json");
      const { task: running } = await client.poll(task, ({ progress }) => (progress?.done ?? 0) > 0.02);
      const cancelled = await client.cancel(task);
      expect(cancelled.state === "cancelled", `the task is ${cancelled.state}`);
      // It would have gone on for many seconds: the thread is free because it has stopped.
      const { looks } = await client.poll(
        "/v1/state",
        (state) => (state as unknown as State).pool.running === 0,
      );
      const result = await fetch(`${client.url}${task}/result`);
      expect(result.status === 409, `its result answered ${result.status}`);
      const share = Math.round((running.progress?.done ?? 0) * 100);
      return `stopped at ${share} % · its thread is free again after ${looks} looks`;
    },
  },
  {
    title: "bad input is refused, each in its way",
    run: async (client) => {
      const png = asPng(drawn(64, 64, 0));
      const attempts: readonly (readonly [number, string, Uint8Array | string, string])[] = [
        [413, "/v1/tasks?op=denoise", new Uint8Array(10_000_001), "image/png"],
        [415, "/v1/tasks", "hello", "text/plain"],
        [422, "/v1/tasks?op=denoise", "not a picture", "image/png"],
        [422, "/v1/tasks?op=denoise", png.subarray(0, png.length >> 1), "image/png"],
        [422, "/v1/tasks?op=denoise", bomb(), "image/png"],
        [422, "/v1/tasks", "{}", "application/json"],
        [400, "/v1/tasks?op=sing", png, "image/png"],
      ];
      for (const [status, path, body, type] of attempts) {
        const response = await client.send(path, body, type);
        await problem(response, status);
      }
      await problem(await fetch(`${client.url}/v1/tasks/none`), 404);
      return [...attempts.map(([status]) => status), 404].join(" ");
    },
  },
  {
    title: "nothing was lost",
    run: async (client) => {
      const { queue } = await client.get<State>("/v1/state");
      const { completed, cancelled, failed = 0, ready = 0, running = 0 } = queue;
      expect(completed === 5 && cancelled === 1, `${completed} completed, ${cancelled} cancelled`);
      expect(failed + ready + running === 0, `${failed} failed, ${ready} waiting, ${running} running`);
      return `${completed} completed, ${cancelled} cancelled, none failed, none left`;
    },
  },
];

/** Keeps a result, and looks whether it is the picture that was asked for. */
async function saved(
  client: Client,
  task: string,
  folder: string,
  name: string,
  width: number,
  height: number,
): Promise<string> {
  const png = await client.result(task);
  const picture = decode(png, "image/png");
  expect(picture.width === width && picture.height === height, `${picture.width} × ${picture.height}`);
  await writeFile(join(folder, name), png);
  return `${name} ${width} × ${height}`;
}

async function checked(client: Client, task: string, events: readonly Event[]): Promise<void> {
  const types = events.map(({ type }) => type);
  expect(types[0] === "enqueued" && types.at(-1) === "completed", `events were ${types.join(", ")}`);
  expect(
    events.every(({ seq }, index) => seq === index + 1),
    "events have gaps",
  );
  const { done } = await client.get<Task>(task);
  expect(done, "the task is not done");
}

async function problem(response: Response, status: number): Promise<void> {
  const type = response.headers.get("content-type");
  const body = await response.text();
  expect(response.status === status, `${response.status} instead of ${status}: ${body}`);
  expect(type === "application/problem+json", `a problem came as ${type}`);
}

function took({ enqueuedAt, finishedAt = enqueuedAt }: Task): string {
  return `there after ${((finishedAt - enqueuedAt) / 1_000).toFixed(1)} s`;
}

function told(events: readonly Event[]): string {
  const progress = events.filter(({ type }) => type === "progress").length;
  return `${events.length} events, ${progress} of progress`;
}

function expect(isAsExpected: boolean, otherwise: string): void {
  if (!isAsExpected) throw new Error(otherwise);
}
