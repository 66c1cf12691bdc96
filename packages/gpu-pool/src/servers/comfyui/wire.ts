// What ComfyUI says: events on its socket, its queue and its history.
import { ModelFailedError } from "../../errors.ts";

/** What a prompt reports while it waits and runs. */
export type ComfyUiProgress =
  | { readonly type: "started" }
  /** Nodes whose results are still there from before. */
  | { readonly type: "cached"; readonly nodes: readonly string[] }
  | { readonly type: "node"; readonly node: string }
  | { readonly type: "progress"; readonly node: string; readonly value: number; readonly max: number }
  /** A node is done, and has something to show. */
  | { readonly type: "output"; readonly node: string; readonly output: unknown }
  | { readonly type: "preview"; readonly mediaType: string; readonly image: Uint8Array<ArrayBuffer> };

/** An event about a prompt. */
export interface PromptEvent {
  readonly promptId: string;
  readonly progress?: ComfyUiProgress;
  /** Nothing more comes of it, or it has just begun: its history, or its place, is worth a look. */
  readonly isTurn: boolean;
}

interface Data {
  readonly prompt_id?: string;
  readonly node?: string | null;
  readonly nodes?: readonly string[];
  readonly value?: number;
  readonly max?: number;
  readonly output?: unknown;
}

/** Reads a message; nothing when it is not about a prompt, or not understood. */
export function eventOf(text: string): PromptEvent | undefined {
  let said: { readonly type?: string; readonly data?: Data };
  try {
    said = JSON.parse(text) as typeof said;
  } catch {
    return undefined;
  }
  const { type, data } = said ?? {};
  const promptId = data?.prompt_id;
  if (data === undefined || typeof promptId !== "string") return undefined;
  const on = (progress: ComfyUiProgress): PromptEvent => ({ promptId, progress, isTurn: false });
  const node = data.node ?? "";
  switch (type ?? "") {
    case "execution_start":
      return on({ type: "started" });
    case "execution_cached":
      return on({ type: "cached", nodes: data.nodes ?? [] });
    case "executing":
      // No node: it is over, and in the history.
      return typeof data.node !== "string" ? { promptId, isTurn: true } : on({ type: "node", node });
    case "progress":
      return on({ type: "progress", node, value: data.value ?? 0, max: data.max ?? 0 });
    case "executed":
      return on({ type: "output", node, output: data.output });
    case "execution_success":
    case "execution_error":
    case "execution_interrupted":
      return { promptId, isTurn: true };
    default:
      return undefined;
  }
}

/** Event types of binary messages. */
const PREVIEW = 1;
const PREVIEW_WITH_METADATA = 4;

/** Reads a preview: of which prompt only newer servers say. */
export function previewOf(
  bytes: Uint8Array<ArrayBuffer>,
): { readonly promptId?: string; readonly progress: ComfyUiProgress } | undefined {
  if (bytes.byteLength < 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const type = view.getUint32(0);
  const second = view.getUint32(4);
  if (type === PREVIEW)
    return {
      progress: {
        type: "preview",
        mediaType: second === 2 ? "image/png" : "image/jpeg",
        image: bytes.slice(8),
      },
    };
  if (type !== PREVIEW_WITH_METADATA || 8 + second > bytes.byteLength) return undefined;
  try {
    const told = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + second))) as {
      readonly prompt_id?: string;
      readonly image_type?: string;
    };
    return {
      ...(told.prompt_id === undefined ? {} : { promptId: told.prompt_id }),
      progress: {
        type: "preview",
        mediaType: told.image_type ?? "image/jpeg",
        image: bytes.slice(8 + second),
      },
    };
  } catch {
    return undefined;
  }
}

/** An item of the queue: number, prompt ID, prompt, extra data and what is to be executed. */
export type QueueItem = readonly [number, string, unknown, { readonly holdfast?: string }?, ...unknown[]];

export interface ComfyUiQueue {
  readonly queue_running?: readonly QueueItem[];
  readonly queue_pending?: readonly QueueItem[];
}

/** What the history has of a prompt that is over. */
export interface HistoryEntry {
  readonly prompt?: QueueItem;
  readonly outputs?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Older servers say nothing. */
  readonly status?: {
    readonly status_str?: string;
    readonly completed?: boolean;
    readonly messages?: readonly (readonly [string, Readonly<Record<string, unknown>>])[];
  } | null;
}

/** How a prompt ended, where it did not end well. */
export function failureOf(model: string, { status }: HistoryEntry): ModelFailedError | undefined {
  if (status?.status_str === undefined || status.status_str === "success") return undefined;
  const told = new Map(status.messages ?? []);
  if (told.has("execution_interrupted"))
    return new ModelFailedError(model, "INTERRUPTED", `the prompt of ${model} was interrupted`);
  const error = told.get("execution_error");
  const text = (key: string, other: string): string =>
    typeof error?.[key] === "string" ? error[key].slice(0, 500) : other;
  const message = text("exception_message", "failed").trim();
  return new ModelFailedError(
    model,
    text("exception_type", "COMFYUI"),
    `${text("node_type", "a node")}: ${message}`,
    // As it was said, for who reads it: a runtime's words are known by how they begin.
    { cause: new Error(message) },
  );
}

/** A workflow in the API format: nodes by their ID. */
export type ComfyUiWorkflow = Readonly<Record<string, unknown>>;

/** A file that a prompt has made. */
export interface ComfyUiFileRef {
  readonly node: string;
  readonly filename: string;
  readonly subfolder: string;
  /** `"output"`, `"temp"` or `"input"`. */
  readonly type: string;
}

/** A file with what is in it. */
export interface ComfyUiFile extends ComfyUiFileRef {
  readonly mediaType: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a prompt has come to. */
export interface ComfyUiOutput {
  readonly promptId: string;
  /** By node, as the history has them. */
  readonly outputs: NonNullable<HistoryEntry["outputs"]>;
  /** Without temporary ones. */
  readonly files: readonly (ComfyUiFileRef | ComfyUiFile)[];
}

/** The files among the outputs; not those that are only shown for a while. */
export function filesOf({ outputs = {} }: HistoryEntry): readonly ComfyUiFileRef[] {
  return Object.entries(outputs).flatMap(([node, kinds]) =>
    Object.values(kinds)
      .flatMap((list) => (Array.isArray(list) ? (list as readonly unknown[]) : []))
      .filter((one): one is Partial<ComfyUiFileRef> & { readonly filename: string } => {
        const { filename, type } = (one ?? {}) as Partial<ComfyUiFileRef>;
        return typeof filename === "string" && type !== "temp";
      })
      .map(({ filename, subfolder = "", type = "output" }) => ({ node, filename, subfolder, type })),
  );
}
