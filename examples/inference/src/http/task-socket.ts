// The WebSocket at /v1/ws: events of tasks, pushed.
import type { UpgradeHandler } from "@holdfast/core/node";
import type { Queue } from "@holdfast/queue";
import { isAllowedOrigin, serveTaskSocket } from "@holdfast/queue/ws";
import { WebSocketServer } from "ws";

/** Largest message taken from a client, in bytes: a subscription is short. */
const MAX_MESSAGE_BYTES = 1_024;

/** Takes upgrades to `/v1/ws`, from this host's own pages and from programs. */
export function taskSockets(queue: Queue): { readonly onUpgrade: UpgradeHandler; close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  return {
    onUpgrade: ({ url, message, socket, head }) => {
      if (url.pathname !== "/v1/ws" || !isAllowedOrigin(message.headers)) return false;
      sockets.handleUpgrade(message, socket, head, (client) =>
        serveTaskSocket(client, { queue, request: message }),
      );
      return true;
    },
    close: () => {
      for (const client of sockets.clients) client.close(1001, "the service is closing");
    },
  };
}
