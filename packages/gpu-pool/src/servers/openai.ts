// Servers that speak OpenAI's wire format, such as vLLM, llama.cpp, SGLang or LM Studio.
import { ModelFailedError } from "../errors.ts";
import type { WorkerAdapter } from "../worker.ts";
import type { ServersOptions } from "./http-worker.ts";
import { answerOf, linesOf, parsed, refusalOf, serverAdapter, textOf } from "./http-worker.ts";

/** A part of a tool call: its ID and its name come first, its arguments bit by bit. */
interface ToolCallPiece {
  /** Which call it is a part of. */
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

/** A part of an answer that comes bit by bit. */
interface Chunk {
  readonly choices?: readonly {
    readonly index?: number;
    readonly delta?: {
      readonly content?: string | null;
      readonly tool_calls?: readonly ToolCallPiece[] | null;
    };
    readonly text?: string;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: unknown;
  readonly error?: { readonly message?: string };
}

/**
 * Inputs are bodies of `/v1/chat/completions` when they have `messages`, of `/v1/embeddings` when they have `input`, and
 * of `/v1/completions` otherwise, without the model. With `stream: true` each piece of text is progress, and the output
 * is `{ text, finishReason, usage?, toolCalls? }` of the first choice; otherwise the output is the server's answer. Models
 * are not loaded: one that the server does not list fails to.
 */
export function openAiServers(options: ServersOptions): WorkerAdapter {
  return serverAdapter(
    {
      kind: "openai",
      ready: async (call, signal) =>
        void (await answerOf("server", await call("GET", "/v1/models", undefined, signal))),
      load: async (call, model, _ref, signal) => {
        const listed = await answerOf("server", await call("GET", "/v1/models", undefined, signal));
        const { data = [] } = listed as { readonly data?: readonly { readonly id: string }[] };
        if (!data.some(({ id }) => id === model))
          throw new ModelFailedError(model, "NOT_SERVED", `the server does not serve ${model}`);
      },
      unload: async () => {},
      run: async (call, model, _ref, input, signal, progress) => {
        const body = { ...(input as { readonly stream?: boolean }), model };
        const path = "messages" in body ? "chat/completions" : "input" in body ? "embeddings" : "completions";
        const response = await call("POST", `/v1/${path}`, body, signal);
        if (body.stream !== true) return answerOf(model, response);
        if (!response.ok) throw refusalOf(model, response, await textOf(model, response));
        return readStream(model, response, signal, progress);
      },
    },
    options,
  );
}

/** Server-sent events up to `[DONE]`. */
async function readStream(
  model: string,
  response: Response,
  signal: AbortSignal,
  progress: (value: unknown) => void,
): Promise<unknown> {
  let text = "";
  let finishReason: string | null = null;
  let usage: unknown;
  const calls = new ToolCalls();
  for await (const line of linesOf(model, response, signal)) {
    if (!line.startsWith("data:")) continue;
    const data = line.slice(5).trim();
    if (data === "[DONE]")
      return { text, finishReason, ...(usage === undefined ? {} : { usage }), ...calls.whole };
    const chunk = parsed(model, data) as Chunk;
    if (chunk.error !== undefined)
      throw new ModelFailedError(model, "OPENAI", chunk.error.message ?? "the stream failed");
    const choice = chunk.choices?.find(({ index = 0 }) => index === 0);
    const piece = choice?.delta?.content ?? choice?.text ?? "";
    finishReason = choice?.finish_reason ?? finishReason;
    usage = chunk.usage ?? usage;
    for (const part of choice?.delta?.tool_calls ?? []) calls.take(part);
    text += piece;
    if (piece !== "") progress(piece);
  }
  throw new ModelFailedError(model, "BAD_ANSWER", `the answer of ${model} has no end`);
}

/** Puts the tool calls of a stream together, each by its index. */
class ToolCalls {
  readonly #calls = new Map<number, { id: string; name: string; arguments: string }>();

  get whole(): object {
    if (this.#calls.size === 0) return {};
    const inOrder = [...this.#calls].toSorted(([a], [b]) => a - b);
    return {
      toolCalls: inOrder.map(([, { id, ...called }]) => ({ id, type: "function", function: called })),
    };
  }

  take({ index = 0, id, function: said }: ToolCallPiece): void {
    const call = this.#calls.get(index) ?? { id: "", name: "", arguments: "" };
    this.#calls.set(index, call);
    call.id ||= id ?? "";
    call.name ||= said?.name ?? "";
    call.arguments += said?.arguments ?? "";
  }
}
