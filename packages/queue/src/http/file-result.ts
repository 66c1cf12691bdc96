// Results with a media type of their own, and how they are served without becoming a page of ours.
import { optionsOf } from "@holdfast/core";

/** A result with bytes of its own media type. What a handler returns in this form is served as it is. */
export interface FileResult {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** RFC 9110 §8.3: a type and its parameters, in ASCII. */
const TOKEN = "[\\w!#$%&'*+.^`|~-]+";
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"[ !#-[\\]-~]*"))*$`);
const MAX_TYPE = 255;
/** What a browser shows without running anything of it. */
const SHOWN =
  /^(?:image\/(?:png|jpeg|gif|webp|avif|bmp)|audio\/[\w.-]+|video\/[\w.-]+|text\/(?:plain|csv)|application\/json)$/;

/**
 * A result that is served as a file. Return it from a handler: what is no media type fails there, for good reason, and not
 * when somebody fetches it.
 *
 * @throws InvalidOptionError
 *
 * @example
 * ```ts
 * import { fileResult } from "@holdfast/queue/http";
 *
 * fileResult("image/png", new Uint8Array(8)).contentType; // => "image/png"
 * ```
 */
export function fileResult(contentType: string, bytes: Uint8Array): FileResult {
  const check = optionsOf("fileResult");
  if (!isMediaType(contentType))
    check.refuse("contentType", contentType, 'a media type such as "image/png", of at most 255 characters');
  if (!(bytes instanceof Uint8Array)) check.refuse("bytes", bytes, "a Uint8Array");
  return { contentType, bytes };
}

/** A result as the body of an answer; a file of a type that is not in `inline`, and might run, is one to be saved. */
export function resultResponse(value: unknown, inline: ReadonlySet<string>): Response {
  const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff" };
  if (!isFile(value)) return Response.json(value ?? null, { headers });
  // What comes from a handler that did not say it with fileResult() may be no type at all.
  const type = isMediaType(value.contentType) ? value.contentType : "application/octet-stream";
  const essence = type.replace(/\s*;.*$/, "").toLowerCase();
  const saved = SHOWN.test(essence) || inline.has(essence) ? {} : { "content-disposition": "attachment" };
  return new Response(new Uint8Array(value.bytes), {
    headers: { ...headers, ...saved, "content-type": type },
  });
}

/** @throws InvalidOptionError for what is no list of media types. */
export function inlineOf(inline: readonly string[] | undefined): ReadonlySet<string> {
  if (inline !== undefined && !(Array.isArray(inline) && inline.every(isMediaType)))
    optionsOf("taskApi").refuse("inline", inline, 'a list of media types such as "text/html"');
  return new Set(inline?.map((type) => type.toLowerCase()));
}

function isMediaType(text: unknown): boolean {
  return typeof text === "string" && text.length <= MAX_TYPE && MEDIA_TYPE.test(text);
}

function isFile(value: unknown): value is FileResult {
  if (typeof value !== "object" || value === null) return false;
  const { contentType, bytes } = value as Partial<FileResult>;
  return typeof contentType === "string" && bytes instanceof Uint8Array;
}
