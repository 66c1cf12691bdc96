// A Fetch Response written to a node:http response, with back-pressure.
import { once } from "node:events";
import type { ServerResponse } from "node:http";

/**
 * Writes an answer. A body that fails half-way ends the connection abruptly, so that the client cannot take what
 * it has for the whole.
 *
 * @throws what the body failed with, once the connection has ended.
 */
export async function writeResponse(response: Response, to: ServerResponse): Promise<void> {
  const isHead = to.req.method === "HEAD";
  to.statusCode = response.status;
  if (response.statusText !== "") to.statusMessage = response.statusText;
  for (const [name, value] of response.headers) if (name !== "set-cookie") to.setHeader(name, value);
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) to.setHeader("set-cookie", cookies);
  if (response.body === null || isHead) {
    await response.body?.cancel().catch(() => {});
    to.end();
    return;
  }
  to.flushHeaders();
  await pump(response.body, to);
}

async function pump(body: ReadableStream<Uint8Array>, to: ServerResponse): Promise<void> {
  const reader = body.getReader();
  // A client that leaves must not leave its stream running: whoever fills it is told.
  const onClose = (): void => void reader.cancel(new Error("the client has gone")).catch(() => {});
  to.once("close", onClose);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || to.destroyed) break;
      if (!to.write(value)) await drained(to);
    }
    to.off("close", onClose);
    to.end();
  } catch (error) {
    to.off("close", onClose);
    to.destroy();
    throw error;
  }
}

function drained(to: ServerResponse): Promise<unknown> {
  if (to.destroyed) return Promise.resolve();
  const stop = new AbortController();
  const { signal } = stop;
  return Promise.race([once(to, "drain", { signal }), once(to, "close", { signal })]).finally(() =>
    stop.abort(),
  );
}
