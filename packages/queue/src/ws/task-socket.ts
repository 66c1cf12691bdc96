// Task events pushed over WebSocket: subscribe by ID, resume by event number, bounded for slow readers.
import type { Clock, Duration, Timer } from "@holdfast/core";
import { isHoldfastError, optionsOf } from "@holdfast/core";
import type { AllowedOrigins } from "../http/own-origin.ts";
import { isAllowedOrigin, originsOf } from "../http/own-origin.ts";
import type { Queue } from "../queue/queue-contract.ts";

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
  /** The upgrade, of which the headers tell whose page it is: a `message` of `node:http`. */
  readonly request: {
    readonly headers: { readonly origin?: string | undefined; readonly host?: string | undefined };
  };
  /**
   * Origins whose pages may connect, beside those of the request's own host. `"any"`: all, where no cookie says who it is.
   * @defaultValue none
   */
  readonly origins?: AllowedOrigins;
  /** Most subscriptions of one connection. @defaultValue 100 */
  readonly maxSubscriptions?: number;
  /**
   * Bytes waiting to be sent, beyond which no more are fetched. A connection that stays beyond it for 5 s is closed
   * (1013): its reader is too slow. @defaultValue 1_048_576
   */
  readonly maxBufferedBytes?: number;
  /** A connection that does not answer a ping sent this often is ended. @defaultValue "30s" */
  readonly pingEvery?: Duration;
  /** Refuses a subscription by throwing. */
  readonly authorize?: (taskId: string) => unknown;
}

/** How long a reader may leave more waiting than it may, and how often that is looked at, in milliseconds. */
const PATIENCE_MS = 5_000;
const LOOK_MS = 10;
/** What a client sends is an ID of at most 100 characters and a few words; a server may let 100 MiB through. */
const MAX_MESSAGE_BYTES = 4_096;
const TOO_SLOW = "reading too slowly; come back and resume";

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
 * Browsers let any page open a WebSocket: one of another site is closed with 1008. To answer its upgrade with an error
 * instead, ask {@link isAllowedOrigin} before. A message of more than 4,096 bytes closes the connection (1009).
 *
 * @throws InvalidOptionError when an option is out of range.
 */
export function serveTaskSocket(socket: SocketLike, options: TaskSocketOptions): void {
  const check = optionsOf("serveTaskSocket");
  const { headers } = check.object("request", options.request);
  if (
    !isAllowedOrigin(check.object("request.headers", headers), originsOf("serveTaskSocket", options.origins))
  ) {
    socket.on("error", () => socket.terminate());
    return socket.close(1008, "this origin is not served");
  }
  const connection = new Connection(
    socket,
    options.queue,
    check.integer("maxSubscriptions", options.maxSubscriptions, { min: 1 }, 100),
    check.integer("maxBufferedBytes", options.maxBufferedBytes, { min: 1 }, 1_048_576),
    options.authorize,
  );
  connection.watch(options.queue.clock, check.duration("pingEvery", options.pingEvery, { min: 1 }, 30_000));
}

class Connection {
  readonly #subscriptions = new Map<string, AbortController>();
  #isAlive = true;
  #isOver = false;
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
    // What still comes in while the connection closes is not listened to.
    if (this.#isOver) return;
    if (sizeOf(data) > MAX_MESSAGE_BYTES) {
      this.#close(1009, `at most ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    const message = isBinary ? undefined : readMessage(String(data));
    if (message === undefined) {
      this.#close(1007, "not a message of this protocol");
      return;
    }
    const { type, id, after } = message;
    this.#subscriptions.get(id)?.abort();
    this.#subscriptions.delete(id);
    if (type === "unsubscribe") return;
    if (this.#subscriptions.size >= this.maxSubscriptions) {
      this.#refuse(id);
      return;
    }
    const stop = new AbortController();
    this.#subscriptions.set(id, stop);
    void this.#follow(id, after, stop);
  }

  async #follow(id: string, after: number, stop: AbortController): Promise<void> {
    try {
      await this.authorize?.(id);
      for await (const event of this.queue.events(id, { after, signal: stop.signal }))
        await this.#send({ type: "event", id, event }, stop.signal);
      await this.#send({ type: "end", id }, stop.signal);
    } catch (error) {
      if (!stop.signal.aborted) await this.#send(errorMessage(id, error), stop.signal).catch(() => {});
    } finally {
      if (this.#subscriptions.get(id) === stop) this.#subscriptions.delete(id);
    }
  }

  /** Sends once there is room. Rejects with the signal's reason, and closes the connection of a slow reader. */
  async #send(message: object, signal: AbortSignal): Promise<void> {
    const { clock } = this.queue;
    const until = clock.monotonic() + PATIENCE_MS;
    while (this.#isFull && clock.monotonic() < until) await clock.sleep(LOOK_MS, signal);
    signal.throwIfAborted();
    if (this.#isFull) this.#close(1013, TOO_SLOW);
    else this.socket.send(JSON.stringify(message));
  }

  // Not one of the subscriptions, whose number is bounded: whoever asks on and on without reading is not waited for.
  #refuse(id: string): void {
    const detail = `at most ${this.maxSubscriptions}`;
    if (this.#isFull) this.#close(1013, TOO_SLOW);
    else this.socket.send(JSON.stringify({ type: "error", id, code: "TOO_MANY_SUBSCRIPTIONS", detail }));
  }

  get #isFull(): boolean {
    return this.socket.bufferedAmount > this.maxBufferedBytes;
  }

  #close(code: number, reason: string): void {
    this.socket.close(code, reason);
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#ping?.cancel();
    for (const stop of this.#subscriptions.values())
      stop.abort(new DOMException("the socket has closed", "AbortError"));
    this.#subscriptions.clear();
  }
}

function errorMessage(id: string, error: unknown): object {
  const known = isHoldfastError(error);
  return { type: "error", id, code: known ? error.code : "INTERNAL", detail: known ? error.message : "" };
}

/** In bytes; in characters where it comes as a string. */
function sizeOf(data: unknown): number {
  const { length = 0, byteLength = length } = data as { length?: number; byteLength?: number };
  return byteLength;
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
