// Messages of one channel at a time for each queue, over one connection of the store's own.
import type { RedisClient } from "@holdfast/core/redis";

/** A second connection, for messages. `Redis` and `Cluster` of ioredis are ones. */
export interface RedisSubscriber {
  readonly status?: string;
  subscribe(channel: string): Promise<unknown>;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  on(event: "ready", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  disconnect(): void;
}

/** A client that can open a second connection like itself, as those of ioredis can. */
export interface RedisQueueClient extends RedisClient {
  duplicate?(options?: object): RedisSubscriber;
}

export class Subscription {
  #connection: RedisSubscriber | undefined;
  readonly #listeners = new Map<string, Listener>();

  constructor(private readonly client: RedisQueueClient) {}

  /**
   * Hears of messages from now on. Resolves once the server has taken the subscription, or is not to be reached: then
   * `onReady` is called as soon as it is, and messages before that are lost.
   */
  async listen(channel: string, listener: Listener): Promise<void> {
    if (this.#listeners.has(channel) || this.client.duplicate === undefined) return;
    this.#listeners.set(channel, listener);
    this.#connection ??= this.#connect();
    if (this.#connection.status === "ready") await this.#subscribe(this.#connection, channel, listener);
  }

  close(): void {
    this.#listeners.clear();
    this.#connection?.disconnect();
    this.#connection = undefined;
  }

  #connect(): RedisSubscriber {
    // ioredis would subscribe again by itself too, and leave it unhandled when that fails, which ends the process.
    const connection =
      this.client.isCluster === true
        ? this.client.duplicate!()
        : this.client.duplicate!({ autoResubscribe: false });
    connection.on("error", () => {});
    connection.on("message", (channel, message) => this.#listeners.get(channel)?.onMessage(message));
    connection.on("ready", () => {
      for (const [channel, listener] of this.#listeners) void this.#subscribe(connection, channel, listener);
    });
    return connection;
  }

  async #subscribe(connection: RedisSubscriber, channel: string, { onReady }: Listener): Promise<void> {
    try {
      await connection.subscribe(channel);
      onReady();
    } catch {
      // The connection is gone; the next one subscribes when it is ready.
    }
  }
}

/** Who hears of messages, and of every time from which on they arrive. */
export interface Listener {
  readonly onMessage: (message: string) => void;
  readonly onReady: () => void;
}
