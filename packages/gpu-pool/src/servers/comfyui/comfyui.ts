// ComfyUI servers: a request is a workflow that is queued, followed over a socket, and read from the history.
import type { Clock, Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { ModelRef } from "../../model.ts";
import type { WorkerAdapter } from "../../worker.ts";
import type { ServersOptions } from "../http-worker.ts";
import { serverAdapter } from "../http-worker.ts";
import { ComfyUiSession } from "./session.ts";
import type { WebSocketLike } from "./socket.ts";
import type { ComfyUiWorkflow } from "./wire.ts";

export interface ComfyUiOptions extends ServersOptions {
  /**
   * Opens the event socket. With `ws`: `(url) => new WebSocket(url, { maxPayload: 16 * 2 ** 20 })`.
   * @defaultValue the global `WebSocket`, which Node has from 22 on
   */
  readonly webSocket?: (url: string) => WebSocketLike;
  /** The workflow of a request. @defaultValue its input's `prompt` */
  readonly workflow?: (model: ModelRef, input: unknown) => ComfyUiWorkflow;
  /** Whether files are fetched, or only named. @defaultValue true */
  readonly files?: boolean;
  /** Most bytes of all files of a request. @defaultValue 64 MiB */
  readonly maxFileBytes?: number;
  /** Largest message of the socket, such as a preview; a larger one is ignored. @defaultValue 16 MiB */
  readonly maxMessageBytes?: number;
  /** Largest answer other than a file, in bytes. @defaultValue 16 MiB */
  readonly maxAnswerBytes?: number;
  /** How often the history is asked while the socket is silent; four times as often while it is down. @defaultValue "2s" */
  readonly pollEvery?: Duration;
  /** Longest any call may take. @defaultValue "30s" */
  readonly callTimeout?: Duration;
  /** How long a server may be out of reach before what it runs counts as lost. @defaultValue "15s" */
  readonly patience?: Duration;
  /** Whether models are unloaded with `/free`: all of the server's, for it knows no other way. @defaultValue true */
  readonly free?: boolean;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

const MIB = 2 ** 20;

/**
 * ComfyUI servers as devices. Outputs are `ComfyUiOutput`s, progress is `ComfyUiProgress`. The socket is a nudge and
 * the history the truth: one that breaks is opened again, and nothing that ended meanwhile is missed. A cancel takes a
 * waiting prompt out of the queue and interrupts a running one by its ID. Servers before 0.3.60 interrupt whatever runs:
 * there it is interrupted only while it runs and nothing waits behind it, so that a neighbour is never hit; otherwise it
 * runs to its end.
 *
 * @throws InvalidOptionError when an option is out of range, or there is no WebSocket.
 */
export function comfyUiServers(options: ComfyUiOptions): WorkerAdapter {
  const check = optionsOf("comfyUiServers");
  check.object("options", options);
  const open = options.webSocket ?? globalWebSocket();
  if (typeof open !== "function")
    check.refuse(
      "webSocket",
      open,
      "a function that opens one, such as (url) => new WebSocket(url) with `ws`",
    );
  const bytes = (name: "maxFileBytes" | "maxMessageBytes" | "maxAnswerBytes", standard: number): number =>
    check.integer(name, options[name], { min: 1 }, standard);
  const settings = {
    open: open!,
    clock: options.clock ?? systemClock,
    workflow: check.function("workflow", options.workflow) ?? promptOf,
    withFiles: check.boolean("files", options.files, true),
    withFree: check.boolean("free", options.free, true),
    maxFileBytes: bytes("maxFileBytes", 64 * MIB),
    maxMessageBytes: bytes("maxMessageBytes", 16 * MIB),
    maxAnswerBytes: bytes("maxAnswerBytes", 16 * MIB),
    pollMs: check.duration("pollEvery", options.pollEvery, { min: 10 }, 2_000),
    callTimeoutMs: check.duration("callTimeout", options.callTimeout, { min: 1 }, 30_000),
    patienceMs: check.duration("patience", options.patience, {}, 15_000),
  };
  // Of each kind of answer the session knows best how large it may be.
  const maxAnswerBytes = Math.max(settings.maxFileBytes, settings.maxAnswerBytes);
  const servers = { ...options, maxAnswerBytes };
  return serverAdapter((device, url) => new ComfyUiSession(device.id, url, settings), servers, "comfyui");
}

function promptOf(_model: ModelRef, input: unknown): ComfyUiWorkflow {
  return (input as { readonly prompt: ComfyUiWorkflow }).prompt;
}

function globalWebSocket(): ((url: string) => WebSocketLike) | undefined {
  const { WebSocket } = globalThis as unknown as { readonly WebSocket?: new (url: string) => WebSocketLike };
  return WebSocket === undefined ? undefined : (url) => new WebSocket(url);
}
