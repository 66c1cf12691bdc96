// Events of tasks over one WebSocket, which comes back by itself and resumes where it was.
import type { TaskEvent } from "./api.ts";

/** Told of one task's events. `gone`: the service does not know it any more. */
export interface Follower {
  event(event: TaskEvent): void;
  gone(): void;
}

interface Followed {
  readonly follower: Follower;
  /** The last event that was seen. */
  after: number;
}

type Message =
  | { readonly type: "event"; readonly id: string; readonly event: TaskEvent }
  | { readonly type: "end" | "error"; readonly id: string };

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class TaskFeed {
  readonly #followed = new Map<string, Followed>();
  #socket: WebSocket | undefined;
  #waitMs = FIRST_WAIT_MS;

  follow(id: string, follower: Follower): void {
    this.#followed.set(id, { follower, after: 0 });
    if (this.#socket === undefined) this.#connect();
    else if (this.#socket.readyState === WebSocket.OPEN) this.#subscribe(id);
  }

  #connect(): void {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/ws`);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#waitMs = FIRST_WAIT_MS;
      for (const id of this.#followed.keys()) this.#subscribe(id);
    });
    socket.addEventListener("message", ({ data }) => this.#take(JSON.parse(String(data)) as Message));
    socket.addEventListener("close", () => {
      setTimeout(() => this.#connect(), this.#waitMs);
      this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 2);
    });
  }

  #subscribe(id: string): void {
    const after = this.#followed.get(id)?.after ?? 0;
    this.#socket?.send(JSON.stringify({ type: "subscribe", id, after }));
  }

  #take(message: Message): void {
    const followed = this.#followed.get(message.id);
    if (followed === undefined) return;
    if (message.type === "event") {
      followed.after = message.event.seq;
      followed.follower.event(message.event);
      return;
    }
    this.#followed.delete(message.id);
    if (message.type === "error") followed.follower.gone();
  }
}
