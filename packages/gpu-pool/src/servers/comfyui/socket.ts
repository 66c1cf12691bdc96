// The event socket of a ComfyUI server: opened again whenever it closes, and never trusted to have told everything.
import type { Clock, Timer } from "@holdfast/core";

/** What is used of a WebSocket: `ws` and the global of browsers and Node 22 both fit. */
export interface WebSocketLike {
  binaryType: string;
  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (event: { readonly type: string; readonly data?: unknown }) => void,
  ): void;
  close(): void;
}

export interface EventSocketOptions {
  readonly url: string;
  readonly open: (url: string) => WebSocketLike;
  readonly clock: Clock;
  /** Messages that are larger are ignored. */
  readonly maxMessageBytes: number;
  readonly onText: (text: string) => void;
  readonly onBinary: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** It is there, or there again: what was said meanwhile is not known. */
  readonly onOpen: () => void;
}

/** Waits before it is opened again, in milliseconds: doubling from the first to the last. */
const FIRST_WAIT_MS = 100;
const LAST_WAIT_MS = 5_000;

export class EventSocket {
  #socket: WebSocketLike | undefined;
  #again: Timer | undefined;
  #failures = 0;
  #isOpen = false;
  #isClosed = false;
  /** Resolves once it is open, or could not be opened: without it there is no progress, but there are answers. */
  readonly tried: Promise<void>;
  #tell = (): void => {};

  constructor(private readonly options: EventSocketOptions) {
    this.tried = new Promise((resolve) => {
      this.#tell = resolve;
    });
    this.#connect();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  close(): void {
    this.#isClosed = true;
    this.#isOpen = false;
    this.#again?.cancel();
    this.#tell();
    this.#socket?.close();
  }

  #connect(): void {
    if (this.#isClosed) return;
    const { url, open, onOpen } = this.options;
    let socket: WebSocketLike;
    try {
      socket = open(url);
    } catch {
      this.#lost();
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    let isOver = false;
    const over = (): void => {
      if (isOver) return;
      isOver = true;
      this.#lost();
    };
    socket.addEventListener("open", () => {
      if (this.#isClosed) return;
      this.#failures = 0;
      this.#isOpen = true;
      this.#tell();
      onOpen();
    });
    socket.addEventListener("message", ({ data }) => {
      if (!this.#isClosed) this.#take(data);
    });
    socket.addEventListener("close", over);
    // Some say only one of the two.
    socket.addEventListener("error", over);
  }

  #take(data: unknown): void {
    const { maxMessageBytes, onText, onBinary } = this.options;
    if (typeof data === "string") {
      if (data.length <= maxMessageBytes) onText(data);
    } else if (data instanceof ArrayBuffer && data.byteLength <= maxMessageBytes)
      onBinary(new Uint8Array(data));
  }

  #lost(): void {
    this.#isOpen = false;
    this.#socket = undefined;
    this.#tell();
    if (this.#isClosed) return;
    const wait = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(10, this.#failures));
    this.#failures += 1;
    this.#again = this.options.clock.setTimer(wait, () => this.#connect());
  }
}
