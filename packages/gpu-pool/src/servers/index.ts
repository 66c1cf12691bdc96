// @holdfast/gpu-pool/servers: devices that are servers: KServe v2 (Triton), Ollama, ComfyUI, OpenAI's wire format.
export { comfyUiServers } from "./comfyui/comfyui.ts";
export type { ComfyUiOptions } from "./comfyui/comfyui.ts";
export type { WebSocketLike } from "./comfyui/socket.ts";
export type {
  ComfyUiFile,
  ComfyUiFileRef,
  ComfyUiOutput,
  ComfyUiProgress,
  ComfyUiWorkflow,
} from "./comfyui/wire.ts";
export { serverAdapter } from "./http-worker.ts";
export type { ServerCall, ServerDevice, ServerProtocol, ServersOptions } from "./http-worker.ts";
export { kserveServers } from "./kserve.ts";
export type { KServeOptions } from "./kserve.ts";
export { ollamaServers } from "./ollama.ts";
export { openAiServers } from "./openai.ts";
