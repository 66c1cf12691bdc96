// Reads a request to make a picture: everything that can be wrong with it is found out before there is a task.
import { hasCode, mediaTypeOf, readBody, readJson, RequestError } from "@holdfast/core";
import type { GpuPool } from "@holdfast/gpu-pool";
import type { ImageHeader } from "../image/header.ts";
import { readImageHeader } from "../image/header.ts";
import { MAX_BODY_BYTES, MAX_PIXELS, MAX_PROMPT, MAX_RESULT_PIXELS } from "../limits.ts";
import { inspect } from "../work/models.ts";
import type { ImageOperation, Job, Upload } from "../work/operation.ts";
import { IMAGE_OPERATIONS } from "../work/operation.ts";

/** Longest a picture may take to be looked at, waiting included. */
const INSPECTION = "10s";

/** A prompt's picture, unless it says otherwise. */
const DEFAULT_SIZE = { width: 960, height: 640 };

/**
 * The job that a request asks for.
 *
 * @param intake - Decodes pictures away from this thread: untrusted bytes must not hold up the server.
 * @throws RequestError with a 4xx status; what the pool throws when it is overloaded.
 */
export function readSubmission(request: Request, intake: GpuPool): Promise<Job> {
  const type = mediaTypeOf(request.headers);
  if (type === "application/json") return readPrompt(request);
  if (type === "image/png" || type === "image/jpeg") return readPicture(request, type, intake);
  const given = type === "" ? "untyped" : type;
  throw new RequestError(
    415,
    "UNSUPPORTED_MEDIA_TYPE",
    `send image/png, image/jpeg or application/json, not ${given}`,
  );
}

async function readPrompt(request: Request): Promise<Job> {
  const asked = operationOf(request);
  if (asked !== null && asked !== "render") throw unknownOperation(asked, ["render"]);
  const body = await readJson(request, MAX_BODY_BYTES);
  if (typeof body !== "object" || body === null)
    throw unprocessable("BAD_PROMPT", "the body must be an object");
  const { prompt, width, height } = body as Readonly<Record<string, unknown>>;
  if (typeof prompt !== "string" || prompt.trim() === "" || prompt.length > MAX_PROMPT)
    throw unprocessable("BAD_PROMPT", `"prompt" must be a text of 1 to ${MAX_PROMPT} characters`);
  return {
    op: "render",
    prompt: prompt.trim(),
    width: sideOf("width", width, DEFAULT_SIZE.width),
    height: sideOf("height", height, DEFAULT_SIZE.height),
  };
}

async function readPicture(request: Request, type: ImageHeader["type"], intake: GpuPool): Promise<Job> {
  const { searchParams } = new URL(request.url);
  const asked = operationOf(request);
  const op = IMAGE_OPERATIONS.find((one) => one === asked);
  if (op === undefined) throw unknownOperation(asked, IMAGE_OPERATIONS);
  const parameters = parametersOf(op, searchParams);
  const bytes = await readBody(request, MAX_BODY_BYTES);
  checkHeader(bytes, type, op === "upscale" ? parameters.factor : 1);
  await inspectWhole({ type, bytes }, intake, request.signal);
  const upload = { type, bytes };
  if (op === "upscale") return { op, upload, factor: parameters.factor };
  if (op === "denoise") return { op, upload, strength: parameters.strength };
  return { op, upload, style: parameters.style };
}

function operationOf(request: Request): string | null {
  return new URL(request.url).searchParams.get("op") ?? request.headers.get("x-operation");
}

interface Parameters {
  readonly factor: number;
  readonly strength: number;
  readonly style: "oil" | "ink";
}

function parametersOf(op: ImageOperation, given: URLSearchParams): Parameters {
  const known: Readonly<Record<ImageOperation, string>> = {
    upscale: "factor",
    denoise: "strength",
    style: "style",
  };
  for (const name of given.keys())
    if (name !== "op" && name !== known[op])
      throw badParameter(`${op} takes ${known[op]}, not ${JSON.stringify(name.slice(0, 40))}`);
  const style = given.get("style") ?? "oil";
  if (style !== "oil" && style !== "ink") throw badParameter('"style" must be oil or ink');
  return {
    factor: integerOf("factor", given.get("factor"), 2, 4, 2),
    strength: integerOf("strength", given.get("strength"), 5, 40, 15),
    style,
  };
}

/** What the first bytes say, before anything is decoded: a header can declare more pixels than there is memory. */
function checkHeader(bytes: Uint8Array, type: ImageHeader["type"], factor: number): void {
  const header = readImageHeader(bytes);
  if (header?.type !== type) throw unprocessable("BROKEN_IMAGE", `the body is not a picture of type ${type}`);
  const pixels = header.width * header.height;
  if (pixels > MAX_PIXELS)
    throw unprocessable(
      "TOO_MANY_PIXELS",
      `the picture has ${header.width} × ${header.height} pixels; at most ${MAX_PIXELS} are taken`,
    );
  if (pixels * factor ** 2 > MAX_RESULT_PIXELS)
    throw unprocessable(
      "TOO_MANY_PIXELS",
      `${factor} times as large the picture would have more than ${MAX_RESULT_PIXELS} pixels`,
    );
}

async function inspectWhole(upload: Upload, intake: GpuPool, signal: AbortSignal): Promise<void> {
  try {
    await intake.run(inspect, upload, { signal, deadline: INSPECTION });
  } catch (error) {
    const isBroken = hasCode(error, "MODEL_FAILED") || hasCode(error, "WORKER_CRASHED");
    if (!isBroken) throw error;
    const detail = hasCode(error, "MODEL_FAILED") ? error.message : "it cannot be decoded within reason";
    throw unprocessable("BROKEN_IMAGE", `the picture is broken: ${detail}`, error);
  }
}

function sideOf(name: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && (value as number) >= 64 && (value as number) <= 2_048)
    return value as number;
  throw unprocessable("BAD_PROMPT", `"${name}" must be an integer from 64 to 2048`);
}

function integerOf(name: string, text: string | null, min: number, max: number, fallback: number): number {
  if (text === null) return fallback;
  const value = Number(text);
  if (/^\d{1,3}$/.test(text) && value >= min && value <= max) return value;
  throw badParameter(`"${name}" must be an integer from ${min} to ${max}`);
}

function unknownOperation(asked: string | null, known: readonly string[]): RequestError {
  const given = asked === null ? "none is given" : `${JSON.stringify(asked.slice(0, 40))} is not one`;
  return new RequestError(400, "UNKNOWN_OPERATION", `"op" must be one of ${known.join(", ")}; ${given}`);
}

function badParameter(detail: string): RequestError {
  return new RequestError(400, "BAD_PARAMETER", detail);
}

function unprocessable(code: string, detail: string, cause?: unknown): RequestError {
  return new RequestError(422, code, detail, { cause });
}
