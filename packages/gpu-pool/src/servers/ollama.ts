// Ollama servers: models are kept by `keep_alive`, answers come line by line.
import { ModelFailedError } from "../errors.ts";
import type { WorkerAdapter } from "../worker.ts";
import type { ServerCall, ServersOptions } from "./http-worker.ts";
import { answerOf, linesOf, parsed, refusalOf, serverAdapter, textOf } from "./http-worker.ts";

/** A line of an answer. The last is `done` and has the counts. */
interface OllamaLine {
  readonly response?: string;
  readonly message?: { readonly role?: string; readonly content?: string };
  readonly done?: boolean;
  readonly error?: string;
}

/**
 * Inputs are bodies of `/api/chat` when they have `messages`, of `/api/embed` when they have `input`, and of
 * `/api/generate` otherwise, without the model. What comes in between is progress, a piece of text at a time; the
 * output is the last line with the whole text.
 */
export function ollamaServers(options: ServersOptions): WorkerAdapter {
  return serverAdapter(
    {
      kind: "ollama",
      ready: async (call, signal) =>
        void (await answerOf("server", await call("GET", "/api/version", undefined, signal))),
      load: (call, model, _ref, signal) => keep(call, model, -1, signal),
      unload: (call, model, _ref, signal) => keep(call, model, 0, signal),
      run: async (call, model, _ref, input, signal, progress) => {
        const body = { ...(input as object), model, keep_alive: -1 };
        if ("input" in body) return answerOf(model, await call("POST", "/api/embed", body, signal));
        const path = "messages" in body ? "/api/chat" : "/api/generate";
        const response = await call("POST", path, { ...body, stream: true }, signal);
        if (!response.ok) throw refusalOf(model, response.status, await textOf(model, response));
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
  for await (const line of linesOf(model, response, signal)) {
    if (line.trim() === "") continue;
    const said = parsed(model, line) as OllamaLine;
    if (said.error !== undefined) throw new ModelFailedError(model, "OLLAMA", said.error);
    const piece = said.response ?? said.message?.content ?? "";
    text += piece;
    if (said.done === true)
      return said.message === undefined
        ? { ...said, response: text }
        : { ...said, message: { ...said.message, content: text } };
    progress(piece);
  }
  throw new ModelFailedError(model, "BAD_ANSWER", `the answer of ${model} has no end`);
}
