// A worker that is a server: each item is a request of its own, a cancel closes its connection.
import { isHoldfastError, optionsOf, retryAfterOf, systemClock } from "@holdfast/core";
import type { Device } from "../device.ts";
import { ModelFailedError, WorkerCrashedError, WorkerFailedError } from "../errors.ts";
import type { ModelRef } from "../model.ts";
import { FreeMemory } from "../served/free-memory.ts";
import { fromWire, toWire } from "../served/wire-error.ts";
import type { Batch, Worker, WorkerAdapter, WorkerEvents } from "../worker.ts";

/** A server as a device. */
export interface ServerDevice extends Device {
  /** Where it listens, such as `http://10.0.0.5:8000`. A path in it is kept. */
  readonly url: string;
}

export interface ServersOptions {
  readonly devices: readonly ServerDevice[];
  /** Sent with every request, such as an `authorization`. @defaultValue none */
  readonly headers?: Readonly<Record<string, string>>;
  /** How the server calls a model. @defaultValue its name */
  readonly modelName?: (model: ModelRef) => string;
  /** Largest answer, in bytes, all of a stream together. A larger one fails its request. @defaultValue 64 MiB */
  readonly maxAnswerBytes?: number;
  /**
   * For another deadline than the host's own for an answer to begin, which is 300 s in Node: one of `undici` with an
   * `Agent` of `headersTimeout: 0`, say. @defaultValue the host's
   */
  readonly fetch?: typeof fetch;
}

const MAX_ANSWER_BYTES = 64 * 2 ** 20;

/** One call of a server. Rejects with a `WorkerFailedError` when there is no answer at all. */
export type ServerCall = (
  method: "GET" | "POST",
  path: string,
  body: unknown,
  signal: AbortSignal,
) => Promise<Response>;

/** What servers of a kind have to be asked. Every function rejects when the answer is no good one. */
export interface ServerProtocol {
  readonly kind: string;
  /** Whether it is there, and takes requests. */
  ready(call: ServerCall, signal: AbortSignal): Promise<void>;
  load(call: ServerCall, model: string, ref: ModelRef, signal: AbortSignal): Promise<void>;
  unload(call: ServerCall, model: string, ref: ModelRef, signal: AbortSignal): Promise<void>;
  run(
    call: ServerCall,
    model: string,
    ref: ModelRef,
    input: unknown,
    signal: AbortSignal,
    progress: (value: unknown) => void,
  ): Promise<unknown>;
  /**
   * How much of the device's memory is taken, in bytes, by whomever. Asked at each sign of life, which does not wait for
   * it, of devices whose `memoryBytes` is known. One that rejects tells nothing.
   */
  usedBytes?(call: ServerCall, signal: AbortSignal): Promise<number>;
  /** The worker is let go of; what runs has been aborted. */
  close?(): void;
}

/**
 * Makes an adapter of a protocol. One that keeps something for each server, such as a socket, is made for each.
 *
 * @throws InvalidOptionError when a server has no URL, or another option is out of range.
 */
export function serverAdapter(
  protocol: ServerProtocol | ((device: Device, url: string) => ServerProtocol),
  options: ServersOptions,
  kind: string = typeof protocol === "function" ? "server" : protocol.kind,
): WorkerAdapter {
  const check = optionsOf(`${kind} servers`);
  const { devices, headers } = check.object("options", options);
  if (!Array.isArray(devices))
    check.refuse("devices", devices, "an array of servers, each with an `id` and a `url`");
  if (headers !== undefined) check.object("headers", headers);
  const modelName = check.function("modelName", options.modelName) ?? (({ name }: ModelRef) => name);
  const ask = check.function("fetch", options.fetch) ?? fetch;
  const maxBytes = check.integer("maxAnswerBytes", options.maxAnswerBytes, { min: 1 }, MAX_ANSWER_BYTES);
  const urls = new Map(
    devices.map((device) => {
      const { id, url } = check.object("devices", device);
      if (!isHttp(url)) check.refuse("devices", url, "servers with a `url` such as http://10.0.0.5:8000");
      return [id, url.replace(/\/+$/, "")];
    }),
  );
  return {
    kind,
    devices,
    start: async (device, events, signal) => {
      const url = urls.get(device.id)!;
      const call = callerOf(device.id, url, maxBytes, headers, ask);
      const spoken = typeof protocol === "function" ? protocol(device, url) : protocol;
      try {
        await spoken.ready(call, signal);
      } catch (error) {
        spoken.close?.();
        throw error;
      }
      return new HttpWorker(spoken, call, modelName, device, events);
    },
  };
}

/** The JSON of a good answer. Rejects with what the server says about a bad one. */
export async function answerOf(model: string, response: Response): Promise<unknown> {
  const text = await textOf(model, response);
  if (!response.ok) throw refusalOf(model, response, text);
  return parsed(model, text);
}

/** Rejects with a `WorkerFailedError` when the answer breaks off. */
export async function textOf(model: string, response: Response): Promise<string> {
  try {
    return await response.text();
  } catch (cause) {
    if (isHoldfastError(cause)) throw cause;
    throw new WorkerFailedError(model, "broke off its answer", { cause });
  }
}

/** @throws ModelFailedError when it is no JSON. */
export function parsed(model: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ModelFailedError(model, "BAD_ANSWER", `the answer of ${model} is no JSON`, { cause });
  }
}

/** What a server says when it does not do what it was asked: `error` as a text or with a `message`. */
export function refusalOf(model: string, response: Response, text: string): ModelFailedError {
  const { status } = response;
  let said = text.slice(0, 500);
  try {
    const { error } = JSON.parse(text) as { readonly error?: string | { readonly message?: string } };
    said = (typeof error === "string" ? error : error?.message) ?? said;
  } catch {
    // Not JSON: then it is what it is.
  }
  return new ModelFailedError(model, `HTTP_${status}`, said || `the server answered ${status}`, {
    retryAfterMs: retryAfterOf(response, systemClock.now()),
  });
}

class HttpWorker implements Worker {
  readonly #running = new Map<number, AbortController>();
  /** Ends what is measured. */
  readonly #life = new AbortController();
  readonly #memory: FreeMemory;
  readonly #device: string;
  #isGone = false;

  constructor(
    private readonly protocol: ServerProtocol,
    private readonly call: ServerCall,
    private readonly modelName: (model: ModelRef) => string,
    { id, memoryBytes }: Device,
    private readonly events: WorkerEvents,
  ) {
    this.#device = id;
    const measure = async (): Promise<number> =>
      Math.max(0, memoryBytes! - (await protocol.usedBytes!(call, this.#life.signal)));
    const canMeasure = protocol.usedBytes !== undefined && memoryBytes !== undefined;
    this.#memory = new FreeMemory(canMeasure ? measure : undefined, (freeBytes) => {
      if (!this.#isGone) events.memory(freeBytes);
    });
  }

  async load(model: ModelRef, signal: AbortSignal): Promise<void> {
    try {
      await this.protocol.load(this.call, this.modelName(model), model, signal);
    } finally {
      this.#memory.moved();
    }
  }

  async unload(model: ModelRef): Promise<void> {
    try {
      await this.protocol.unload(this.call, this.modelName(model), model, new AbortController().signal);
    } finally {
      this.#memory.moved();
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.protocol.ready(this.call, signal);
    this.#memory.measure();
  }

  run({ model, items }: Batch): void {
    for (const { id, input } of items) void this.#runItem(model, id, input);
  }

  cancel(itemId: number, reason: string): void {
    this.#running.get(itemId)?.abort(new DOMException(reason, "AbortError"));
  }

  async kill(): Promise<void> {
    this.#isGone = true;
    this.#life.abort(new WorkerFailedError(this.#device, "was let go of"));
    for (const item of this.#running.values())
      item.abort(new WorkerFailedError(this.#device, "was let go of"));
    this.#running.clear();
    this.protocol.close?.();
  }

  async #runItem(model: ModelRef, id: number, input: unknown): Promise<void> {
    const stop = new AbortController();
    this.#running.set(id, stop);
    const progress = (value: unknown): void => {
      if (!this.#isGone) this.events.progress(id, value);
    };
    try {
      const output = await this.#ask(model, input, stop.signal, progress);
      this.#settle(id, () => this.events.succeeded(id, output));
    } catch (thrown) {
      // Others are known by their code: these are about the input, such as one that is no JSON.
      const error = isHoldfastError(thrown) ? thrown : fromWire(model.key, toWire(thrown));
      this.#settle(id, () => this.events.failed(id, error));
    }
  }

  /**
   * A connection that breaks may break by what it was asked: that costs nobody else an answer. If the server is there
   * all the same, and has the model, it is asked once more.
   */
  async #ask(
    model: ModelRef,
    input: unknown,
    signal: AbortSignal,
    progress: (value: unknown) => void,
  ): Promise<unknown> {
    const name = this.modelName(model);
    for (let isSecond = false; ; isSecond = true) {
      try {
        return await this.protocol.run(this.call, name, model, input, signal, progress);
      } catch (error) {
        if (!(error instanceof WorkerFailedError) || signal.aborted) throw error;
        await this.#look(name, model, signal, error);
        if (isSecond) throw new WorkerCrashedError(this.#device, model.key, { cause: error });
      }
    }
  }

  /** Whether a server is there, with the model. Rejects when it is not, and then everything it ran is lost. */
  async #look(name: string, model: ModelRef, signal: AbortSignal, broke: Error): Promise<void> {
    try {
      await this.protocol.ready(this.call, signal);
      await this.protocol.load(this.call, name, model, signal);
    } catch (error) {
      if (!signal.aborted)
        this.#crash(new WorkerFailedError(this.#device, "is not there any more", { cause: broke }));
      throw error;
    }
  }

  #settle(id: number, tell: () => void): void {
    if (this.#running.delete(id) && !this.#isGone) tell();
  }

  #crash(error: Error): void {
    if (this.#isGone) return;
    void this.kill();
    this.events.crashed(error);
  }
}

function isHttp(url: unknown): url is string {
  return typeof url === "string" && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
}

function callerOf(
  device: string,
  url: string,
  maxBytes: number,
  headers: ServersOptions["headers"],
  ask: typeof fetch,
): ServerCall {
  return async (method, path, body, signal) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      const response = await ask(url + path, {
        method,
        signal,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(text === undefined ? {} : { body: text }),
      });
      return bounded(device, response, maxBytes);
    } catch (cause) {
      signal.throwIfAborted();
      throw new WorkerFailedError(device, "cannot be reached", { cause });
    }
  };
}

/** Breaks the answer off with a `ModelFailedError` (`TOO_LARGE`) as soon as it is larger than it may be. */
function bounded(device: string, response: Response, maxBytes: number): Response {
  if (response.body === null) return response;
  let size = 0;
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      size += chunk.byteLength;
      if (size <= maxBytes) controller.enqueue(chunk);
      else controller.error(tooLarge(device, maxBytes));
    },
  });
  return new Response(response.body.pipeThrough(count), response);
}

function tooLarge(who: string, maxBytes: number): ModelFailedError {
  return new ModelFailedError(who, "TOO_LARGE", `an answer of ${who} is larger than ${maxBytes} bytes`);
}

/** An answer's body. Rejects with a `ModelFailedError` (`TOO_LARGE`) as soon as it is larger than it may be. */
export async function bytesOf(
  model: string,
  response: Response,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk as Uint8Array);
      size += (chunk as Uint8Array).byteLength;
      if (size > maxBytes) break;
    }
  } catch (cause) {
    if (isHoldfastError(cause)) throw cause;
    throw new WorkerFailedError(model, "broke off its answer", { cause });
  }
  if (size > maxBytes) throw tooLarge(model, maxBytes);
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** The lines of an answer that comes bit by bit. Rejects with a `WorkerFailedError` when it breaks off. */
export async function* linesOf(
  model: string,
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of response.body ?? []) {
      // What is there of a long line is not looked through again.
      const lines = decoder.decode(chunk as Uint8Array, { stream: true }).split("\n");
      lines[0] = rest + lines[0]!;
      rest = lines.pop()!;
      for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (isHoldfastError(cause)) throw cause;
    throw new WorkerFailedError(model, "broke off its answer", { cause });
  }
  if (rest !== "") yield rest;
}
