// A response as an idempotency key keeps it: status, headers, body; never longer than it may be.
import { RequestError } from "../http/problem-response.ts";

/** Plain JSON. */
export interface RecordedResponse {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Base64. */
  readonly body: string;
}

/** A response that can still be sent, and its record; no record when it is too long. */
export interface ReadResponse {
  readonly response: Response;
  readonly recorded: RecordedResponse | undefined;
}

/** About one connection or one recipient, not about the result. `set-cookie` would give one client's to another. */
const NOT_KEPT = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Reads a response to its end. What is longer than `maxBytes` goes on as a stream, unrecorded. */
export async function readResponse(response: Response, maxBytes: number): Promise<ReadResponse> {
  if (response.body === null) return { response, recorded: recordOf(response, new Uint8Array()) };
  const reader = response.body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (let size = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.byteLength;
    if (size > maxBytes) return { response: withBody(response, restOf(chunks, reader)), recorded: undefined };
  }
  const body = new Uint8Array(await new Blob(chunks).arrayBuffer());
  return { response: withBody(response, body), recorded: recordOf(response, body) };
}

/** The response that was recorded, marked as a replay. */
export function replayed({ status, headers, body }: RecordedResponse): Response {
  const bytes = Uint8Array.from(atob(body), (char) => char.charCodeAt(0));
  const response = new Response(hasNoBody(status) ? null : bytes, {
    status,
    headers: headers.map(([name, value]): [string, string] => [name, value]),
  });
  response.headers.set("idempotency-replayed", "true");
  return response;
}

/**
 * The key of an `Idempotency-Key` header: a quoted string, as the draft asks for, or the bare text that most
 * clients send.
 *
 * @throws RequestError 400 when it is neither.
 */
export function keyOf(header: string): string {
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(header);
  const key = quoted === null ? header : quoted[1]!.replace(/\\(["\\])/g, "$1");
  if (key.length >= 1 && key.length <= 255 && (quoted !== null || /^[\x21\x23-\x7e]+$/.test(key))) return key;
  throw new RequestError(
    400,
    "BAD_IDEMPOTENCY_KEY",
    "the Idempotency-Key header must be one string of 1 to 255 printable ASCII characters",
  );
}

function recordOf({ status, headers }: Response, body: Uint8Array): RecordedResponse {
  // RFC 9110 §7.6.1: what Connection names belongs to the connection too.
  const ofConnection = (headers.get("connection") ?? "").toLowerCase().split(/[\s,]+/);
  const kept = [...headers].filter(([name]) => !NOT_KEPT.has(name) && !ofConnection.includes(name));
  let binary = "";
  for (const byte of body) binary += String.fromCharCode(byte);
  return { status, headers: kept, body: btoa(binary) };
}

function withBody(response: Response, body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>): Response {
  const { status, statusText, headers } = response;
  return new Response(hasNoBody(status) ? null : body, { status, statusText, headers });
}

function restOf(
  chunks: readonly Uint8Array[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  const read = chunks[Symbol.iterator]();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const first = read.next();
        if (first.done !== true) {
          controller.enqueue(first.value);
          return;
        }
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Fetch refuses a body for these. */
function hasNoBody(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}
