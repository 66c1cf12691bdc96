// A node:http server around a Fetch handler: bounded in every direction, and closed gracefully.
import type { IncomingMessage } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Handler } from "../http/handler.ts";
import { RequestError } from "../http/problem-response.ts";
import { optionsOf } from "../options.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { NodeHandlerOptions } from "./node-handler.ts";
import { nodeHandler } from "./node-handler.ts";
import { urlOf } from "./request.ts";

export interface ServeOptions extends NodeHandlerOptions {
  /** 0 takes any free port. @defaultValue 0 */
  readonly port?: number;
  /** Address to listen on. @defaultValue "127.0.0.1": this machine alone */
  readonly host?: string;
  /** How long a client may take to send its headers; then 408. @defaultValue "10s" */
  readonly headersTimeout?: Duration;
  /** How long a client may take to send a whole request; then 408. @defaultValue "1m" */
  readonly requestTimeout?: Duration;
  /** How long an idle connection is kept. @defaultValue "5s" */
  readonly keepAliveTimeout?: Duration;
  /** Largest size of all headers together, in bytes; then 431. @defaultValue 16_384 */
  readonly maxHeaderBytes?: number;
  /** Most headers taken; then the rest is dropped. @defaultValue 100 */
  readonly maxHeaders?: number;
  /** Most connections at a time; further ones are dropped. @defaultValue 10_000 */
  readonly maxConnections?: number;
  /**
   * Takes an upgrade (WebSocket) and answers whether it did; one that nobody takes gets 426, one whose
   * address is not valid 400. The request has no body.
   */
  readonly onUpgrade?: UpgradeHandler;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** Decides over one upgrade request. `message`, `socket` and `head` are what `ws`'s `handleUpgrade` takes. */
export type UpgradeHandler = (upgrade: {
  readonly url: URL;
  readonly message: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}) => boolean;

/** A listening server. */
export interface RunningServer extends AsyncDisposable {
  /** Such as `http://127.0.0.1:3000`. */
  readonly url: string;
  readonly port: number;
  /**
   * Takes no more connections, lets running requests finish for `within` (default 10 s), then cuts the rest.
   * Answers how many connections were cut.
   */
  close(options?: { readonly within?: Duration }): Promise<{ readonly cut: number }>;
}

/**
 * Serves a Fetch handler over HTTP/1.1. Resolves once the server listens.
 *
 * @throws InvalidOptionError when an option is out of range; the system's own error when the port is taken.
 */
export async function serve(handler: Handler, options: ServeOptions = {}): Promise<RunningServer> {
  const check = optionsOf("serve");
  const port = check.integer("port", options.port, { min: 0, max: 65_535 }, 0);
  const host = check.string("host", options.host, 255, "127.0.0.1");
  const clock = options.clock ?? systemClock;
  const server = createServer(
    {
      maxHeaderSize: check.integer("maxHeaderBytes", options.maxHeaderBytes, { min: 1_024 }, 16_384),
      headersTimeout: check.duration("headersTimeout", options.headersTimeout, { min: 1 }, 10_000),
      requestTimeout: check.duration("requestTimeout", options.requestTimeout, { min: 1 }, 60_000),
      keepAliveTimeout: check.duration("keepAliveTimeout", options.keepAliveTimeout, { min: 1 }, 5_000),
      // How often the two limits above are looked at.
      connectionsCheckingInterval: 1_000,
    },
    nodeHandler(handler, options),
  );
  server.maxHeadersCount = check.integer("maxHeaders", options.maxHeaders, { min: 1 }, 100);
  server.maxConnections = check.integer("maxConnections", options.maxConnections, { min: 1 }, 10_000);

  const connections = new Set<Duplex>();
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
  });
  let isClosing = false;
  server.on("request", (_, response) => {
    // A connection that becomes idle while we close would be kept for the keep-alive time.
    response.on("close", () => {
      if (isClosing) setImmediate(() => server.closeIdleConnections());
    });
  });
  server.on("upgrade", (message, socket, head) => upgrade(options.onUpgrade, message, socket, head));

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });

  let closing: Promise<{ readonly cut: number }> | undefined;
  const close = async (withinMs: number): Promise<{ readonly cut: number }> => {
    isClosing = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    let cut = 0;
    const timer = clock.setTimer(withinMs, () => {
      cut = connections.size;
      for (const socket of connections) socket.destroy();
    });
    await closed;
    timer.cancel();
    return { cut };
  };
  const address = server.address() as AddressInfo;
  const shownHost = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${shownHost}:${address.port}`,
    port: address.port,
    close: (how = {}) => (closing ??= close(optionsOf("close").duration("within", how.within, {}, 10_000))),
    [Symbol.asyncDispose]: async () => void (await (closing ??= close(10_000))),
  };
}

function upgrade(
  onUpgrade: UpgradeHandler | undefined,
  message: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  // Errors of a raw socket that nobody listens to would end the process.
  socket.on("error", () => {});
  let status = "426 Upgrade Required";
  try {
    if (onUpgrade?.({ url: urlOf(message), message, socket, head }) === true) return;
  } catch (error) {
    status = error instanceof RequestError ? "400 Bad Request" : "500 Internal Server Error";
  }
  // A client that does not close its end must not hold the socket.
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy());
}
