// What a process hears of other processes, and of its connection: one listener on each client, however many caches there are.
import { notify } from "@holdfast/core";
import type { RedisClient } from "@holdfast/core/redis";
import type { RegionWatcher } from "../shared/store.ts";

/** A connection of ioredis for subscriptions: `client.duplicate()`. */
export interface RedisSubscriber {
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  on(event: "message", listener: (channel: string) => void): unknown;
  on(event: "ready", listener: () => void): unknown;
  off(event: "message", listener: (channel: string) => void): unknown;
  off(event: "ready", listener: () => void): unknown;
}

export class RedisNews {
  readonly #watchers = new Set<RegionWatcher>();
  readonly #byChannel = new Map<string, Set<RegionWatcher>>();

  constructor(
    private readonly client: RedisClient,
    private readonly subscriber: RedisSubscriber | undefined,
  ) {}

  watch(channels: readonly string[], watcher: RegionWatcher): () => void {
    const { client, subscriber } = this;
    if (this.#watchers.size === 0) {
      client.on?.("close", this.#lost);
      subscriber?.on("message", this.#heard);
      subscriber?.on("ready", this.#subscribeAll);
    }
    this.#watchers.add(watcher);
    for (const channel of channels) this.#join(channel, watcher);
    return () => {
      this.#watchers.delete(watcher);
      for (const channel of channels) this.#leave(channel, watcher);
      if (this.#watchers.size > 0) return;
      client.off?.("close", this.#lost);
      subscriber?.off("message", this.#heard);
      subscriber?.off("ready", this.#subscribeAll);
    };
  }

  #join(channel: string, watcher: RegionWatcher): void {
    const known = this.#byChannel.get(channel);
    if (known !== undefined) {
      known.add(watcher);
      return;
    }
    this.#byChannel.set(channel, new Set([watcher]));
    this.#subscribe(channel);
  }

  #leave(channel: string, watcher: RegionWatcher): void {
    const known = this.#byChannel.get(channel);
    known?.delete(watcher);
    if (known?.size !== 0) return;
    this.#byChannel.delete(channel);
    this.subscriber?.unsubscribe(channel).catch(() => {});
  }

  #subscribe(channel: string): void {
    this.subscriber?.subscribe(channel).then(
      // What was said before nobody has heard.
      () => this.#heard(channel),
      // A connection that is not ready says so: it is done when it is. Until then the questions at intervals go on.
      () => {},
    );
  }

  readonly #subscribeAll = (): void => {
    for (const channel of this.#byChannel.keys()) this.#subscribe(channel);
  };

  readonly #lost = (): void => {
    for (const { lost } of this.#watchers) notify(lost, undefined);
  };

  readonly #heard = (channel: string): void => {
    for (const { changed } of this.#byChannel.get(channel) ?? []) notify(changed, undefined);
  };
}
