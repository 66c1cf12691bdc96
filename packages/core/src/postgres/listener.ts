// LISTEN that survives: it reconnects by itself, and after each reconnect it wakes everyone, so that nothing is missed.
import { asError, ClosedError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { Backoff } from "../policies/backoff.ts";
import { exponential } from "../policies/backoff.ts";
import type { Random } from "../random.ts";
import { systemRandom } from "../random.ts";
import { callStore } from "../stores/store-call.ts";
import { notify } from "../telemetry/notify.ts";
import type { Clock } from "../time/clock.ts";
import type { Duration } from "../time/duration.ts";
import { systemClock } from "../time/system-clock.ts";
import type { PgQueryable } from "./queryable.ts";

/** A connection that can listen: a connected `Client` of `pg`. It belongs to the listener, which ends it. */
export interface PgListeningClient extends PgQueryable {
  on(event: "notification", listener: (message: PgNotification) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  end(): Promise<unknown>;
  /** Of `pg`: its socket, to be dropped when the server does not even take a goodbye. */
  readonly connection?: { readonly stream?: { destroy(): unknown } };
}

export interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** What a subscriber is told. */
export type PgWakeUp =
  /** Somebody called `pg_notify` with this payload. */
  | { readonly kind: "notified"; readonly payload: string }
  /** It listens (again) from now on. Whatever was said before may have been missed: look for yourself. */
  | { readonly kind: "listening" };

export interface PgListenerOptions {
  /**
   * Opens a connection of the listener's own, not one of a pool and not through a pooler in transaction mode. May
   * reject; it is called again, after a wait.
   */
  readonly connect: () => Promise<PgListeningClient>;
  /** The waits between tries to connect. @defaultValue exponential({ base: "100ms", cap: "10s" }) */
  readonly backoff?: Backoff;
  /**
   * How often a silent connection is asked whether it is still there: half-open ones say nothing. From 100 ms.
   * @defaultValue "30s"
   */
  readonly heartbeat?: Duration;
  /** How long a connection may take to open or to answer, from 1 ms. @defaultValue "5s" */
  readonly deadline?: Duration;
  /** Told of each connection that was lost or could not be opened. Changes nothing. */
  readonly onLost?: (error: Error) => void;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
  /** @defaultValue systemRandom */
  readonly random?: Random;
}

export interface PgListener extends AsyncDisposable {
  /** Whether it hears notifications at the moment. */
  readonly listening: boolean;
  /**
   * Calls `wake` for every notification on `channel`, and once whenever listening has begun (again). Connects when
   * it is the first.
   *
   * @param channel - 1 to 63 letters, digits and underscores.
   * @returns What ends the subscription.
   * @throws ClosedError after `close`.
   */
  listen(channel: string, wake: (event: PgWakeUp) => void): () => void;
  /** Ends all subscriptions and the connection; a connection that hangs is left to its fate after `deadline`. */
  close(): Promise<void>;
}

/** The defaults of `pgListener`, in milliseconds. */
export const PG_LISTENER_DEFAULTS: {
  readonly baseMs: number;
  readonly capMs: number;
  readonly heartbeatMs: number;
  readonly deadlineMs: number;
} = { baseMs: 100, capMs: 10_000, heartbeatMs: 30_000, deadlineMs: 5_000 };

/**
 * Listens to PostgreSQL's notifications on one connection for all channels.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts no-run: needs a PostgreSQL
 * import { Client } from "pg";
 * import { pgListener } from "@holdfast/core/postgres";
 *
 * const listener = pgListener({
 *   connect: async () => {
 *     const client = new Client();
 *     await client.connect();
 *     return client;
 *   },
 * });
 * const stop = listener.listen("jobs", () => console.log("look for work"));
 * ```
 */
export function pgListener(options: PgListenerOptions): PgListener {
  const check = optionsOf("pgListener");
  const { baseMs, capMs, heartbeatMs, deadlineMs } = PG_LISTENER_DEFAULTS;
  return new Listener({
    connect: check.function("connect", options.connect) ?? check.refuse("connect", undefined, "a function"),
    backoff: options.backoff ?? exponential({ base: baseMs, cap: capMs }),
    heartbeatMs: check.duration("heartbeat", options.heartbeat, { min: 100 }, heartbeatMs),
    deadlineMs: check.duration("deadline", options.deadline, { min: 1 }, deadlineMs),
    onLost: check.function("onLost", options.onLost),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  });
}

interface Settings {
  readonly connect: () => Promise<PgListeningClient>;
  readonly backoff: Backoff;
  readonly heartbeatMs: number;
  readonly deadlineMs: number;
  readonly onLost: ((error: Error) => void) | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

interface Subscription {
  readonly channel: string;
  readonly wake: (event: PgWakeUp) => void;
}

class Listener implements PgListener {
  readonly #subscriptions = new Set<Subscription>();
  readonly #closing = new AbortController();
  #client: PgListeningClient | undefined;
  #running: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly settings: Settings) {}

  get listening(): boolean {
    return this.#client !== undefined;
  }

  listen(channel: string, wake: (event: PgWakeUp) => void): () => void {
    if (this.#closing.signal.aborted) throw new ClosedError("a listener of postgres");
    if (!/^\w{1,63}$/.test(channel))
      optionsOf("listen").refuse("channel", channel, "1 to 63 letters, digits and underscores");
    const subscription = { channel, wake };
    this.#subscriptions.add(subscription);
    this.#running ??= this.#run();
    const client = this.#client;
    if (client !== undefined)
      // A failure here is one of the connection, which its own watch sees.
      void this.#listenOn(client, channel).then(
        () => {
          if (this.#subscriptions.has(subscription)) notify(wake, { kind: "listening" });
        },
        () => {},
      );
    return () => this.#leave(subscription);
  }

  async close(): Promise<void> {
    this.#closing.abort(new ClosedError("a listener of postgres"));
    this.#subscriptions.clear();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #leave(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    const { channel } = subscription;
    if ([...this.#subscriptions].some((other) => other.channel === channel)) return;
    if (this.#client !== undefined) this.#ask(this.#client, `unlisten "${channel}"`).catch(() => {});
  }

  async #run(): Promise<void> {
    const { backoff, clock, random, onLost } = this.settings;
    const { signal } = this.#closing;
    let failures = 0;
    let state = 0;
    while (!signal.aborted) {
      try {
        await this.#listenOnce(() => {
          failures = 0;
          state = 0;
        });
      } catch (error) {
        if (signal.aborted) return;
        notify(onLost, asError(error));
      }
      failures += 1;
      const step = backoff.next(failures, state, random);
      state = step.state;
      await clock.sleep(step.delayMs, signal).catch(() => {});
    }
  }

  /** One connection, from its opening to its end. */
  async #listenOnce(onListening: () => void): Promise<void> {
    const client = await this.#open();
    try {
      const ended = new Promise<never>((_, reject) => {
        client.on("error", reject);
        client.on("end", () => reject(new Error("the connection was closed")));
      });
      // It may end while nobody waits for it yet.
      ended.catch(() => {});
      client.on("notification", ({ channel, payload }) => {
        this.#wake({ kind: "notified", payload: payload ?? "" }, channel);
      });
      // Those that are added meanwhile see the client and listen for themselves.
      const channels = new Set([...this.#subscriptions].map(({ channel }) => channel));
      this.#client = client;
      this.#turn = Promise.resolve();
      for (const channel of channels) await this.#listenOn(client, channel);
      onListening();
      this.#wake({ kind: "listening" });
      for (;;) {
        await Promise.race([
          ended,
          this.settings.clock.sleep(this.settings.heartbeatMs, this.#closing.signal),
        ]);
        await this.#ask(client, "select 1");
      }
    } finally {
      this.#client = undefined;
      this.#end(client);
    }
  }

  async #open(): Promise<PgListeningClient> {
    const opening = this.settings.connect();
    try {
      return await this.#within(() => opening);
    } catch (error) {
      // One that comes too late is nobody's.
      opening.then(
        (client) => this.#end(client),
        () => {},
      );
      throw error;
    }
  }

  #listenOn(client: PgListeningClient, channel: string): Promise<unknown> {
    return this.#ask(client, `listen "${channel}"`);
  }

  // One statement at a time, as clients want it.
  #ask(client: PgListeningClient, text: string): Promise<unknown> {
    return this.#within((progress) => {
      progress.sent = true;
      const mine = this.#turn.then(() => client.query(text));
      this.#turn = mine.catch(() => {});
      return mine;
    });
  }

  #within<T>(work: (progress: { sent: boolean }) => Promise<T>): Promise<T> {
    const { deadlineMs, clock } = this.settings;
    return callStore({ store: "postgres", deadlineMs, clock, signal: this.#closing.signal }, work);
  }

  // A server that does not answer does not say goodbye either.
  #end(client: PgListeningClient): void {
    client.on("error", () => {});
    const timer = this.settings.clock.setTimer(this.settings.deadlineMs, () =>
      client.connection?.stream?.destroy(),
    );
    client
      .end()
      .catch(() => {})
      .finally(() => timer.cancel());
  }

  #wake(event: PgWakeUp, channel?: string): void {
    for (const subscription of this.#subscriptions)
      if (channel === undefined || subscription.channel === channel) notify(subscription.wake, event);
  }
}
