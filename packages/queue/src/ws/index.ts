// @holdfast/queue/ws: task events pushed over WebSocket.
export type { SocketLike, TaskSocketOptions } from "./task-socket.ts";
export { isAllowedOrigin, serveTaskSocket } from "./task-socket.ts";
