// The page: three files of a folder, read once, served under a strict Content-Security-Policy.
import { readFile } from "node:fs/promises";
import type { Handler } from "@holdfast/core";
import { RequestError } from "@holdfast/core";

const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  "/": { file: "index.html", type: "text/html; charset=utf-8" },
  "/page.css": { file: "page.css", type: "text/css; charset=utf-8" },
  "/page.js": { file: "page.js", type: "text/javascript; charset=utf-8" },
};

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/**
 * Serves the page.
 *
 * @param folder - Where its files are, with a slash at its end.
 */
export async function page(folder: URL): Promise<Handler> {
  const files = new Map<string, { readonly bytes: Uint8Array<ArrayBuffer>; readonly type: string }>();
  for (const [path, { file, type }] of Object.entries(FILES))
    files.set(path, { bytes: new Uint8Array(await readFile(new URL(file, folder))), type });
  return ({ url, method }) => {
    const found = files.get(new URL(url).pathname);
    if (found === undefined) throw new RequestError(404, "NOT_FOUND", "there is nothing at this address");
    if (method !== "GET" && method !== "HEAD")
      throw new RequestError(405, "METHOD_NOT_ALLOWED", "only GET can be done here");
    return new Response(found.bytes, { headers: { ...HEADERS, "content-type": found.type } });
  };
}
