// A node:http request as a Fetch Request.
import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { RequestError } from "../http/problem-response.ts";
import { withRemoteAddress } from "../http/remote-address.ts";
import { BodyTakenError } from "./body-taken-error.ts";

/**
 * The Fetch request that a node:http message stands for. Its body is streamed with back-pressure and never passes
 * on more than `maxBodyBytes`; its signal aborts when the client goes away.
 *
 * @throws RequestError 400 when target or host cannot be part of a URL, 413 when the declared body is too large.
 */
export function toRequest(message: IncomingMessage, maxBodyBytes: number, signal: AbortSignal): Request {
  const method = message.method ?? "GET";
  const declared = Number(message.headers["content-length"] ?? 0);
  if (declared > maxBodyBytes) throw tooLarge(maxBodyBytes);
  const url = urlOf(message);
  try {
    const init: RequestInit & { duplex?: "half" } = { method, headers: toHeaders(message), signal };
    if (method !== "GET" && method !== "HEAD") {
      init.body = isTaken(message) ? taken() : limited(message, maxBodyBytes);
      init.duplex = "half";
    }
    return withRemoteAddress(new Request(url, init), message.socket.remoteAddress);
  } catch (error) {
    throw new RequestError(400, "BAD_REQUEST", "the request's method or headers are not valid", {
      cause: error,
    });
  }
}

/** The answer to a body beyond the limit. */
export function tooLarge(maxBodyBytes: number): RequestError {
  return new RequestError(413, "PAYLOAD_TOO_LARGE", `the body is larger than ${maxBodyBytes} bytes`);
}

/** The absolute URL a client asked for. The `Host` header is the client's word: do not build links from it unchecked. */
export function urlOf(message: IncomingMessage): URL {
  const encrypted = (message.socket as { encrypted?: boolean }).encrypted === true;
  const host = message.headers.host ?? "localhost";
  const target = message.url ?? "/";
  try {
    // An absolute target (RFC 9112 §3.2.2) stands for itself; anything else must be a path, or "//host" would pass.
    if (/^https?:\/\//i.test(target)) return new URL(target);
    if (!target.startsWith("/")) throw new TypeError("not a path");
    const base = new URL(`${encrypted ? "https" : "http"}://${host}`);
    if (base.pathname !== "/" || base.username !== "" || base.search !== "")
      throw new TypeError("not a host");
    return new URL(base.origin + target);
  } catch (error) {
    throw new RequestError(400, "BAD_REQUEST", "the request's target or host is not valid", { cause: error });
  }
}

function toHeaders(message: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < message.rawHeaders.length; at += 2)
    headers.append(message.rawHeaders[at]!, message.rawHeaders[at + 1]!);
  return headers;
}

/** Whether there was a body, and a middleware has read of it. */
function isTaken(message: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = message.headers;
  return message.readableDidRead && (encoding !== undefined || Number(length ?? 0) > 0);
}

/** Fails whoever reads it; handlers that want no body may go on. */
function taken(): ReadableStream<Uint8Array> {
  return new ReadableStream(
    { pull: (controller) => controller.error(new BodyTakenError()) },
    { highWaterMark: 0 },
  );
}

function limited(message: IncomingMessage, maxBodyBytes: number): ReadableStream<Uint8Array> {
  let size = 0;
  const gate = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      size += chunk.byteLength;
      if (size > maxBodyBytes) controller.error(tooLarge(maxBodyBytes));
      else controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    },
  });
  return (Readable.toWeb(message) as ReadableStream<Uint8Array>).pipeThrough(gate);
}
