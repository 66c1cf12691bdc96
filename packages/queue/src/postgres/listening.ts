// The connection that hears of wake-ups: one of the store's own, opened like those of its client.
import type { PgClient, PgListeningClient, PgNotification } from "@holdfast/core/postgres";

/** What is used of a pool of `pg` to open a connection beside its own. */
interface PgPoolLike {
  readonly Client: new (options: object) => PgListeningClient & { connect(): Promise<unknown> };
  readonly options: object;
}

/** What is used of a `PGlite`, whose only connection hears of everything. */
interface PGliteLike {
  query(text: string): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
  onNotification(listener: (channel: string, payload: string) => void): () => void;
}

/** How to open one beside `client`; `undefined` where there is no way. */
export function listeningBeside(client: PgClient): (() => Promise<PgListeningClient>) | undefined {
  if (isPool(client))
    return async () => {
      const own = new client.Client(client.options);
      // A connection that could not be opened says so twice.
      own.on("error", () => {});
      await own.connect();
      return own;
    };
  return isPGlite(client) ? async () => listeningOn(client) : undefined;
}

function listeningOn(client: PGliteLike): PgListeningClient {
  const listeners = new Set<(message: PgNotification) => void>();
  const stop = client.onNotification((channel, payload) => {
    for (const listener of listeners) listener({ channel, payload });
  });
  return {
    query: (text) => client.query(text),
    on: (event: string, listener: unknown) => {
      if (event === "notification") listeners.add(listener as (message: PgNotification) => void);
    },
    end: async () => stop(),
  };
}

function isPool(client: object): client is PgPoolLike {
  return "Client" in client && typeof client.Client === "function" && "options" in client;
}

function isPGlite(client: object): client is PGliteLike {
  return "onNotification" in client && typeof client.onNotification === "function";
}
