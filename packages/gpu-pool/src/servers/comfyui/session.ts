// One ComfyUI server: its socket, the prompts that are there, and how each is submitted, followed and taken back.
import type { Clock, Timer } from "@holdfast/core";
import { TimeoutError } from "@holdfast/core";
import { ModelFailedError, WorkerFailedError } from "../../errors.ts";
import type { ModelRef } from "../../model.ts";
import type { ServerCall, ServerProtocol } from "../http-worker.ts";
import { bytesOf, parsed, refusalOf } from "../http-worker.ts";
import type { Ask } from "./take-back.ts";
import { takeBack } from "./take-back.ts";
import type { WebSocketLike } from "./socket.ts";
import { EventSocket } from "./socket.ts";
import type {
  ComfyUiFile,
  ComfyUiFileRef,
  ComfyUiOutput,
  ComfyUiProgress,
  ComfyUiQueue,
  ComfyUiWorkflow,
  HistoryEntry,
  PromptEvent,
  QueueItem,
} from "./wire.ts";
import { eventOf, failureOf, filesOf, previewOf } from "./wire.ts";

export interface SessionSettings {
  readonly open: (url: string) => WebSocketLike;
  readonly clock: Clock;
  readonly workflow: (model: ModelRef, input: unknown) => ComfyUiWorkflow;
  readonly withFiles: boolean;
  readonly withFree: boolean;
  readonly maxFileBytes: number;
  readonly maxMessageBytes: number;
  readonly maxAnswerBytes: number;
  readonly pollMs: number;
  readonly callTimeoutMs: number;
  readonly patienceMs: number;
}

/** A prompt that is there. */
interface Job {
  promptId: string;
  readonly progress: (value: ComfyUiProgress) => void;
  /** Something may have happened to it. */
  isNudged: boolean;
  /** Wakes whoever waits for that. */
  wake: () => void;
}

/** Most events that are kept of prompts that are not known; the latest. */
const MOST_EARLY = 64;

/** Looks in a row in which a prompt is neither in the queue nor in the history before it counts as lost. */
const MOST_MISSED = 3;

export class ComfyUiSession implements ServerProtocol {
  readonly kind = "comfyui";
  readonly #clientId: string = globalThis.crypto.randomUUID();
  readonly #jobs = new Map<string, Job>();
  #socket: EventSocket | undefined;
  /** The prompt that runs, by what was last heard: previews of older servers are its. */
  #executing: string | undefined;
  /** Heard of prompts whose ID is not known yet: an older server may start one before it has answered. */
  readonly #early: PromptEvent[] = [];
  #version = "";
  #isClosed = false;

  constructor(
    private readonly device: string,
    private readonly url: string,
    private readonly settings: SessionSettings,
  ) {}

  async ready(call: ServerCall, signal: AbortSignal): Promise<void> {
    const stats = await this.#json("server", () => call("GET", "/system_stats", undefined, signal));
    const { system } = (stats ?? {}) as { readonly system?: { readonly comfyui_version?: string } };
    this.#version = system?.comfyui_version ?? "";
    this.#socket ??= this.#connect();
    await this.#socket.tried;
  }

  /** Models are loaded by the workflows that use them. */
  async load(): Promise<void> {}

  async unload(call: ServerCall, model: string): Promise<void> {
    if (!this.settings.withFree || this.#jobs.size > 0) return;
    await this.#asker(call, model)("POST", "/free", { unload_models: true, free_memory: true });
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.close();
    for (const job of this.#jobs.values()) nudge(job);
  }

  async run(
    call: ServerCall,
    model: string,
    ref: ModelRef,
    input: unknown,
    signal: AbortSignal,
    progress: (value: unknown) => void,
  ): Promise<ComfyUiOutput> {
    const ask = this.#asker(call, model);
    const ownId = globalThis.crypto.randomUUID();
    const job: Job = { promptId: ownId, progress, isNudged: false, wake: () => {} };
    this.#jobs.set(ownId, job);
    const onAbort = (): void => nudge(job);
    signal.addEventListener("abort", onAbort);
    try {
      await this.#submit(ask, model, job, this.settings.workflow(ref, input));
      const entry = await this.#follow(ask, model, job, signal);
      const failure = failureOf(model, entry);
      if (failure !== undefined) throw signal.aborted ? signal.reason : failure;
      return await this.#outputOf(call, model, job.promptId, entry, signal);
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#jobs.delete(job.promptId);
      this.#jobs.delete(ownId);
    }
  }

  /** Queues a prompt. Where the answer was lost, finds out whether it has arrived: it is never queued twice. */
  async #submit(ask: Ask, model: string, job: Job, prompt: ComfyUiWorkflow): Promise<void> {
    const ownId = job.promptId;
    const body = {
      prompt,
      client_id: this.#clientId,
      // Newer servers take this for its ID; older ones keep what is with it, and name it themselves.
      prompt_id: ownId,
      extra_data: { holdfast: ownId },
    };
    let promptId: string | undefined;
    try {
      promptId = ((await ask("POST", "/prompt", body)) as { readonly prompt_id?: string }).prompt_id;
    } catch (error) {
      if (!(error instanceof WorkerFailedError)) throw error;
      const found = await this.#find(ask, ownId).catch(() => undefined);
      if (found === undefined) throw error;
      promptId = found;
    }
    if (typeof promptId !== "string")
      throw new ModelFailedError(model, "BAD_ANSWER", `the server gave the prompt of ${model} no ID`);
    job.promptId = promptId;
    this.#jobs.set(promptId, job);
    for (const event of this.#early) if (event.promptId === promptId) this.#take(event, job);
  }

  /** The ID under which a prompt of ours has arrived. */
  async #find(ask: Ask, ownId: string): Promise<string | undefined> {
    const isOurs = (item: QueueItem | undefined): boolean =>
      item !== undefined && (item[1] === ownId || item[3]?.holdfast === ownId);
    const { queue_running = [], queue_pending = [] } = (await ask("GET", "/queue")) as ComfyUiQueue;
    const queued = [...queue_running, ...queue_pending].find(isOurs);
    if (queued !== undefined) return queued[1];
    const history = (await ask("GET", "/history?max_items=64")) as Readonly<Record<string, HistoryEntry>>;
    return Object.entries(history).find(([id, { prompt }]) => id === ownId || isOurs(prompt))?.[0];
  }

  /** Waits until a prompt is over. What the socket says is a reason to look; only what the history has counts. */
  async #follow(ask: Ask, model: string, job: Job, signal: AbortSignal): Promise<HistoryEntry> {
    const { clock, patienceMs } = this.settings;
    let missed = 0;
    let lastHeard = clock.monotonic();
    for (;;) {
      if (this.#isClosed) {
        void takeBack(ask, job.promptId, this.#version).catch(() => {});
        throw signal.aborted ? signal.reason : new WorkerFailedError(this.device, "was let go of");
      }
      job.isNudged = false;
      try {
        const history = (await ask("GET", `/history/${job.promptId}`)) as Readonly<
          Record<string, HistoryEntry>
        >;
        const entry = history[job.promptId];
        if (entry !== undefined) return entry;
        const place = signal.aborted
          ? await takeBack(ask, job.promptId, this.#version)
          : await placeOf(ask, job.promptId);
        lastHeard = clock.monotonic();
        if (place !== "gone") missed = 0;
        else if ((missed += 1) >= MOST_MISSED)
          throw signal.aborted
            ? (signal.reason as Error)
            : new WorkerFailedError(this.device, `has lost the prompt of ${model}`);
      } catch (error) {
        const isPatient = clock.monotonic() - lastHeard < patienceMs;
        if (missed >= MOST_MISSED || !isPatient) throw error;
      }
      await this.#pause(job, missed > 0);
    }
  }

  /** Until the job is nudged, or it is time to look again. */
  #pause(job: Job, isUnclear: boolean): Promise<void> {
    const { clock, pollMs } = this.settings;
    const isBlind = isUnclear || this.#socket?.isOpen !== true;
    return new Promise((resolve) => {
      if (job.isNudged) {
        resolve();
        return;
      }
      const timer: Timer = clock.setTimer(isBlind ? pollMs / 4 : pollMs, () => job.wake());
      job.wake = () => {
        job.wake = () => {};
        timer.cancel();
        resolve();
      };
    });
  }

  async #outputOf(
    call: ServerCall,
    model: string,
    promptId: string,
    entry: HistoryEntry,
    signal: AbortSignal,
  ): Promise<ComfyUiOutput> {
    const refs = filesOf(entry);
    const files: (ComfyUiFileRef | ComfyUiFile)[] = [];
    let left = this.settings.maxFileBytes;
    for (const ref of refs) {
      if (!this.settings.withFiles) {
        files.push(ref);
        continue;
      }
      const { filename, subfolder, type } = ref;
      const query = new URLSearchParams({ filename, subfolder, type });
      const file = await this.#within(signal, async (limit) => {
        const response = await call("GET", `/view?${query.toString()}`, undefined, limit);
        const bytes = await bytesOf(model, response, left);
        if (!response.ok) throw refusalOf(model, response, new TextDecoder().decode(bytes));
        const mediaType = response.headers.get("content-type") ?? "application/octet-stream";
        return { ...ref, mediaType, bytes };
      });
      left -= file.bytes.byteLength;
      files.push(file);
    }
    return { promptId, outputs: entry.outputs ?? {}, files };
  }

  #connect(): EventSocket {
    const { open, clock, maxMessageBytes } = this.settings;
    return new EventSocket({
      url: `${this.url.replace(/^http/, "ws")}/ws?clientId=${this.#clientId}`,
      open,
      clock,
      maxMessageBytes,
      onText: (text) => this.#heard(text),
      onBinary: (bytes) => {
        const preview = previewOf(bytes);
        const id = preview?.promptId ?? this.#executing;
        if (preview !== undefined && id !== undefined) this.#jobs.get(id)?.progress(preview.progress);
      },
      onOpen: () => {
        for (const job of this.#jobs.values()) nudge(job);
      },
    });
  }

  #heard(text: string): void {
    const event = eventOf(text);
    if (event === undefined) return;
    this.#executing = event.isTurn ? undefined : event.promptId;
    const job = this.#jobs.get(event.promptId);
    if (job !== undefined) this.#take(event, job);
    else if (this.#early.push(event) > MOST_EARLY) this.#early.shift();
  }

  #take(event: PromptEvent, job: Job): void {
    if (event.progress !== undefined) job.progress(event.progress);
    if (event.isTurn) nudge(job);
  }

  #asker(call: ServerCall, model: string): Ask {
    return (method, path, body) =>
      this.#json(model, () => this.#within(undefined, (limit) => call(method, path, body, limit)));
  }

  /** The JSON of a good answer, read within its bound; nothing for an empty one. */
  async #json(model: string, call: () => Promise<Response>): Promise<unknown> {
    const response = await call();
    const text = new TextDecoder().decode(await bytesOf(model, response, this.settings.maxAnswerBytes));
    if (!response.ok) throw refusalOf(model, response, text);
    return text === "" ? undefined : parsed(model, text);
  }

  /** A call within its time, and while it is wanted. */
  async #within<T>(wanted: AbortSignal | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const { clock, callTimeoutMs } = this.settings;
    const onAbort = (): void => stop.abort(wanted?.reason);
    if (wanted?.aborted === true) onAbort();
    wanted?.addEventListener("abort", onAbort, { once: true });
    const timer = clock.setTimer(callTimeoutMs, () =>
      stop.abort(new TimeoutError(`a call of ${this.device}`, callTimeoutMs)),
    );
    try {
      return await call(stop.signal);
    } catch (error) {
      if (wanted?.aborted !== true && error instanceof TimeoutError)
        throw new WorkerFailedError(this.device, "does not answer", { cause: error });
      throw error;
    } finally {
      timer.cancel();
      wanted?.removeEventListener("abort", onAbort);
    }
  }
}

function nudge(job: Job): void {
  job.isNudged = true;
  job.wake();
}

/** Where a prompt is; `gone` when it is over, or was never there. */
async function placeOf(ask: Ask, promptId: string): Promise<"running" | "pending" | "gone"> {
  const { queue_running = [], queue_pending = [] } = (await ask("GET", "/queue")) as ComfyUiQueue;
  if (queue_running.some(([, id]) => id === promptId)) return "running";
  return queue_pending.some(([, id]) => id === promptId) ? "pending" : "gone";
}
