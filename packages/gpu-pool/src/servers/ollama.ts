// Ollama servers: models are kept by `keep_alive`, answers come line by line.
import { hasCode } from "@holdfast/core";
import { ModelFailedError } from "../errors.ts";
import type { WorkerAdapter } from "../worker.ts";
import type { ServerCall, ServersOptions } from "./http-worker.ts";
import { answerOf, linesOf, parsed, refusalOf, serverAdapter, textOf } from "./http-worker.ts";

/** A line of an answer. The last is `done` and has the counts. */
interface OllamaLine {
  readonly response?: string;
  /** Of `/api/generate`; of a chat it is in the message. */
  readonly thinking?: string;
  readonly message?: {
    readonly role?: string;
    readonly content?: string;
    readonly thinking?: string;
    /** Each is whole. */
    readonly tool_calls?: readonly unknown[];
  };
  readonly done?: boolean;
  readonly error?: string;
}

/**
 * Inputs are bodies of `/api/chat` when they have `messages`, of `/api/embed` when they have `input`, and of
 * `/api/generate` otherwise, without the model. What comes in between is progress, a piece of text at a time; the
 * output is the last line with the whole text, all that was thought, and every tool that was called.
 */
export function ollamaServers(options: ServersOptions): WorkerAdapter {
  return serverAdapter(
    {
      kind: "ollama",
      ready: async (call, signal) =>
        void (await answerOf("server", await call("GET", "/api/version", undefined, signal))),
      load: async (call, model, _ref, signal) => {
        try {
          await keep(call, model, -1, signal);
        } catch (error) {
          if (!hasCode(error, "MODEL_FAILED") || !error.message.includes("does not support generate"))
            throw error;
          // One that only embeds: with nothing to embed it is just loaded.
          const body = { model, input: "", keep_alive: -1 };
          await answerOf(model, await call("POST", "/api/embed", body, signal));
        }
      },
      unload: (call, model, _ref, signal) => keep(call, model, 0, signal),
      // Of whoever uses the server.
      usedBytes: async (call, signal) => {
        const listed = await answerOf("server", await call("GET", "/api/ps", undefined, signal));
        const { models } = listed as { readonly models: readonly { readonly size_vram: number }[] };
        return models.reduce((sum, { size_vram }) => sum + size_vram, 0);
      },
      run: async (call, model, _ref, input, signal, progress) => {
        const body = { ...(input as object), model, keep_alive: -1 };
        if ("input" in body) return answerOf(model, await call("POST", "/api/embed", body, signal));
        const path = "messages" in body ? "/api/chat" : "/api/generate";
        const response = await call("POST", path, { ...body, stream: true }, signal);
        if (!response.ok) throw refusalOf(model, response, await textOf(model, response));
        return readAnswer(model, response, signal, progress);
      },
    },
    options,
  );
}

/** A request without a prompt loads a model, or unloads it when it is not to be kept. */
async function keep(call: ServerCall, model: string, keepAlive: number, signal: AbortSignal): Promise<void> {
  const body = { model, keep_alive: keepAlive, stream: false };
  await answerOf(model, await call("POST", "/api/generate", body, signal));
}

async function readAnswer(
  model: string,
  response: Response,
  signal: AbortSignal,
  progress: (value: unknown) => void,
): Promise<unknown> {
  let text = "";
  let thinking = "";
  const calls: unknown[] = [];
  for await (const line of linesOf(model, response, signal)) {
    if (line.trim() === "") continue;
    const said = parsed(model, line) as OllamaLine;
    if (said.error !== undefined) throw new ModelFailedError(model, "OLLAMA", said.error);
    const piece = said.response ?? said.message?.content ?? "";
    text += piece;
    thinking += said.thinking ?? said.message?.thinking ?? "";
    calls.push(...(said.message?.tool_calls ?? []));
    if (said.done === true) {
      const thought = thinking === "" ? {} : { thinking };
      if (said.message === undefined) return { ...said, response: text, ...thought };
      const called = calls.length === 0 ? {} : { tool_calls: calls };
      return { ...said, message: { ...said.message, content: text, ...thought, ...called } };
    }
    if (piece !== "") progress(piece);
  }
  throw new ModelFailedError(model, "BAD_ANSWER", `the answer of ${model} has no end`);
}
