// Request bodies, read within a bound.
import { RequestError } from "./problem-response.ts";

/**
 * A request's whole body, never more than `maxBytes` of it in memory.
 *
 * @throws RequestError 413 (`PAYLOAD_TOO_LARGE`), before reading when the length is declared, else as soon as the
 * bound is passed.
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > maxBytes) {
      // Not awaited: a client that goes on sending must not keep us.
      void reader.cancel().catch(() => {});
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/**
 * A request's body as JSON.
 *
 * @throws RequestError 413 when it is too large, 415 (`UNSUPPORTED_MEDIA_TYPE`) when it is not declared as JSON,
 * 400 (`MALFORMED_BODY`) when it is not JSON.
 */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const type = mediaTypeOf(request.headers);
  if (type !== "application/json" && !type.endsWith("+json"))
    throw new RequestError(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      `the body must be application/json, not ${type || "untyped"}`,
    );
  const bytes = await readBody(request, maxBytes);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new RequestError(400, "MALFORMED_BODY", "the body is not valid JSON", { cause: error });
  }
}

/** The media type of a message without its parameters, in lower case; empty when there is none. */
export function mediaTypeOf(headers: Headers): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

function tooLarge(maxBytes: number): RequestError {
  return new RequestError(413, "PAYLOAD_TOO_LARGE", `the body is larger than ${maxBytes} bytes`);
}
