// @holdfast/gpu-pool/servers: devices that are servers: KServe v2 (Triton), Ollama, OpenAI's wire format.
export { serverAdapter } from "./http-worker.ts";
export type { ServerCall, ServerDevice, ServerProtocol, ServersOptions } from "./http-worker.ts";
export { kserveServers } from "./kserve.ts";
export type { KServeOptions } from "./kserve.ts";
export { ollamaServers } from "./ollama.ts";
export { openAiServers } from "./openai.ts";
