// @holdfast/queue/ws: task events pushed over WebSocket.
export type { AllowedOrigins } from "../http/own-origin.ts";
export { isAllowedOrigin } from "../http/own-origin.ts";
export type { SocketLike, TaskSocketOptions } from "./task-socket.ts";
export { serveTaskSocket } from "./task-socket.ts";
