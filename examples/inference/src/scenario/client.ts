// The service as a client sees it: nothing but HTTP and WebSocket.
import type { Clock } from "@holdfast/core";
import { WebSocket } from "ws";

/** What an answer says of a task; the part that is used here. */
export interface Task {
  readonly id: string;
  readonly state: string;
  readonly done: boolean;
  readonly progress?: { readonly done?: number };
  readonly enqueuedAt: number;
  readonly finishedAt?: number;
}

/** One of a task's events. */
export interface Event {
  readonly seq: number;
  readonly type: string;
}

/** `GET /v1/state`; the part that is used here. */
export interface State {
  readonly queue: Readonly<Record<string, number>>;
  readonly pool: { readonly running: number; readonly capacity: number };
}

const POLL_EVERY_MS = 100;

export class Client {
  constructor(
    readonly url: string,
    private readonly clock: Clock,
  ) {}

  send(path: string, body: Uint8Array | string, type: string): Promise<Response> {
    return fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": type },
      body: typeof body === "string" ? body : new Uint8Array(body),
    });
  }

  /** Submits work that is to be taken; answers the task's address. */
  async submit(path: string, body: Uint8Array | string, type: string): Promise<string> {
    const response = await this.send(path, body, type);
    const location = response.headers.get("location");
    if (response.status !== 202 || location === null)
      throw new Error(`POST ${path} answered ${response.status}: ${await response.text()}`);
    await response.body?.cancel();
    return location;
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.url + path);
    if (!response.ok) throw new Error(`GET ${path} answered ${response.status}`);
    return (await response.json()) as T;
  }

  async cancel(task: string): Promise<Task> {
    return (await (await fetch(this.url + task, { method: "DELETE" })).json()) as Task;
  }

  async result(task: string): Promise<Uint8Array> {
    const response = await fetch(`${this.url}${task}/result`);
    if (!response.ok) throw new Error(`GET ${task}/result answered ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  /** Looks again and again until the task is as wished. Answers how many looks it took. */
  async poll(
    task: string,
    isThere: (task: Task) => boolean,
  ): Promise<{ readonly looks: number; readonly task: Task }> {
    for (let looks = 1; ; looks += 1) {
      const seen = await this.get<Task>(task);
      if (isThere(seen)) return { looks, task: seen };
      if (seen.done) throw new Error(`${task} is ${seen.state} already`);
      await this.clock.sleep(POLL_EVERY_MS, undefined, { keepAlive: true });
    }
  }

  /** Follows a task by Server-Sent Events to its end. */
  async stream(task: string): Promise<readonly Event[]> {
    const response = await fetch(`${this.url}${task}/events`);
    const text = await response.text();
    return text
      .split("\n\n")
      .flatMap((block) => /^data: (.+)$/m.exec(block)?.slice(1) ?? [])
      .map((data) => JSON.parse(data) as Event);
  }

  /** Follows a task by WebSocket to its end, from behind the event `after`. */
  push(task: string, after = 0): Promise<readonly Event[]> {
    const id = task.slice(task.lastIndexOf("/") + 1);
    const socket = new WebSocket(`${this.url.replace(/^http/, "ws")}/v1/ws`);
    return new Promise((resolve, reject) => {
      const events: Event[] = [];
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("the socket closed before the task ended")));
      socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe", id, after })));
      socket.on("message", (data: Buffer) => {
        const message = JSON.parse(data.toString()) as { readonly type: string; readonly event?: Event };
        if (message.event !== undefined) events.push(message.event);
        if (message.type === "event") return;
        if (message.type === "end") resolve(events);
        else reject(new Error(`the socket answered ${data.toString()}`));
        socket.close();
      });
    });
  }
}
