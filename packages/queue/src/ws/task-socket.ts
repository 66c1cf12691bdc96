// Task events pushed over WebSocket: subscribe by ID, resume by event number, bounded for slow readers.
import type { Clock, Duration, Timer } from "@holdfast/core";
import { isHoldfastError, optionsOf } from "@holdfast/core";
import type { Queue } from "../queue.ts";

/** The part of a `ws` WebSocket that is used; any implementation with it will do. */
export interface SocketLike {
  readonly bufferedAmount: number;
  on(event: "message", listener: (data: unknown, isBinary: boolean) => void): unknown;
  on(event: "close" | "error" | "pong", listener: () => void): unknown;
  send(text: string): void;
  ping(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface TaskSocketOptions {
  readonly queue: Queue;
  /** Most subscriptions of one connection. @defaultValue 100 */
  readonly maxSubscriptions?: number;
  /** Bytes waiting to be sent beyond which a connection is closed (1013). @defaultValue 1_048_576 */
  readonly maxBufferedBytes?: number;
  /** A connection that does not answer a ping sent this often is ended. @defaultValue "30s" */
  readonly pingEvery?: Duration;
  /** Refuses a subscription by throwing. */
  readonly authorize?: (taskId: string) => unknown;
}

/** What a client sends: `{"type":"subscribe","id":…,"after":…}` or `{"type":"unsubscribe","id":…}`. */
interface ClientMessage {
  readonly type: "subscribe" | "unsubscribe";
  readonly id: string;
  readonly after: number;
}

/**
 * Serves one WebSocket connection. For every subscription the client receives `{"type":"event","id":…,"event":…}`
 * for each event after `after` (default 0), then `{"type":"end","id":…}`; what it asked for in vain is answered with
 * `{"type":"error","id":…,"code":…,"detail":…}`. After a lost connection it subscribes again with the last `seq` it
 * has seen.
 *
 * Check the `Origin` of the upgrade before ({@link isAllowedOrigin}): browsers let any page open a WebSocket.
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function serveTaskSocket(socket: SocketLike, options: TaskSocketOptions): void {
  const check = optionsOf("serveTaskSocket");
  const connection = new Connection(
    socket,
    options.queue,
    check.integer("maxSubscriptions", options.maxSubscriptions, { min: 1 }, 100),
    check.integer("maxBufferedBytes", options.maxBufferedBytes, { min: 1 }, 1_048_576),
    options.authorize,
  );
  connection.watch(options.queue.clock, check.duration("pingEvery", options.pingEvery, { min: 1 }, 30_000));
}

/**
 * Whether an upgrade may be taken: its origin is listed, or it is the host's own, or there is none (not a browser).
 */
export function isAllowedOrigin(
  headers: { readonly origin?: string | undefined; readonly host?: string | undefined },
  allowed: readonly string[] = [],
): boolean {
  if (headers.origin === undefined) return true;
  if (allowed.includes(headers.origin)) return true;
  return URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host;
}

class Connection {
  readonly #subscriptions = new Map<string, AbortController>();
  #isAlive = true;
  #ping: Timer | undefined;

  constructor(
    private readonly socket: SocketLike,
    private readonly queue: Queue,
    private readonly maxSubscriptions: number,
    private readonly maxBufferedBytes: number,
    private readonly authorize: TaskSocketOptions["authorize"],
  ) {
    socket.on("message", (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on("error", () => socket.terminate());
    socket.on("close", () => this.#end());
    socket.on("pong", () => (this.#isAlive = true));
  }

  watch(clock: Clock, everyMs: number): void {
    this.#ping = clock.setTimer(everyMs, () => {
      if (!this.#isAlive) {
        this.socket.terminate();
        return;
      }
      this.#isAlive = false;
      this.socket.ping();
      this.watch(clock, everyMs);
    });
  }

  #onMessage(data: unknown, isBinary: boolean): void {
    const message = isBinary ? undefined : readMessage(String(data));
    if (message === undefined) {
      this.socket.close(1007, "not a message of this protocol");
      return;
    }
    const { type, id, after } = message;
    this.#subscriptions.get(id)?.abort();
    this.#subscriptions.delete(id);
    if (type === "unsubscribe") return;
    if (this.#subscriptions.size >= this.maxSubscriptions) {
      this.#send({
        type: "error",
        id,
        code: "TOO_MANY_SUBSCRIPTIONS",
        detail: `at most ${this.maxSubscriptions}`,
      });
      return;
    }
    const stop = new AbortController();
    this.#subscriptions.set(id, stop);
    void this.#follow(id, after, stop);
  }

  async #follow(id: string, after: number, stop: AbortController): Promise<void> {
    try {
      await this.authorize?.(id);
      for await (const event of this.queue.events(id, { after, signal: stop.signal })) {
        if (!this.#send({ type: "event", id, event })) return;
      }
      this.#send({ type: "end", id });
    } catch (error) {
      if (stop.signal.aborted) return;
      const known = isHoldfastError(error);
      this.#send({
        type: "error",
        id,
        code: known ? error.code : "INTERNAL",
        detail: known ? error.message : "",
      });
    } finally {
      if (this.#subscriptions.get(id) === stop) this.#subscriptions.delete(id);
    }
  }

  #send(message: object): boolean {
    if (this.socket.bufferedAmount > this.maxBufferedBytes) {
      this.socket.close(1013, "reading too slowly; come back and resume");
      this.#end();
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  #end(): void {
    this.#ping?.cancel();
    for (const stop of this.#subscriptions.values())
      stop.abort(new DOMException("the socket has closed", "AbortError"));
    this.#subscriptions.clear();
  }
}

function readMessage(text: string): ClientMessage | undefined {
  try {
    const { type, id, after = 0 } = JSON.parse(text) as Partial<ClientMessage>;
    const isKnown = type === "subscribe" || type === "unsubscribe";
    if (!isKnown || typeof id !== "string" || id.length > 100 || !Number.isSafeInteger(after) || after < 0)
      return undefined;
    return { type, id, after };
  } catch {
    return undefined;
  }
}
