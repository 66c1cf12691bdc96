// Events on node:diagnostics_channel, free while nobody listens, a silent no-op where the module does not exist.

/** A named stream of events. Build the event only when {@link hasSubscribers} says somebody listens. */
export interface Channel<Event> {
  /** `holdfast:<package>:<event>`. */
  readonly name: string;
  readonly hasSubscribers: boolean;
  /** Hands the event to every subscriber, synchronously. Never throws. */
  publish(event: Event): void;
  /** Listens until the returned function is called. A subscriber that throws changes no outcome. */
  subscribe(subscriber: (event: Event) => void): () => void;
}

/**
 * The channel `holdfast:<package>:<event>`.
 *
 * @example
 * ```ts
 * import { channel } from "@holdfast/core";
 *
 * const evicted = channel<{ readonly key: string }>("cache", "evicted");
 * const keys: string[] = [];
 * const stop = evicted.subscribe((event) => keys.push(event.key));
 * if (evicted.hasSubscribers) evicted.publish({ key: "user:1" });
 * stop();
 * keys; // => ["user:1"]
 * ```
 */
export function channel<Event>(owner: string, event: string): Channel<Event> {
  return new DiagnosticsChannel<Event>(`holdfast:${owner}:${event}`);
}

interface HostChannel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
  subscribe(subscriber: (message: unknown) => void): void;
  unsubscribe(subscriber: (message: unknown) => void): boolean;
}

interface DiagnosticsModule {
  channel(name: string): HostChannel;
}

class DiagnosticsChannel<Event> implements Channel<Event> {
  readonly #host: HostChannel | undefined;

  constructor(readonly name: string) {
    this.#host = diagnosticsChannel()?.channel(name);
  }

  get hasSubscribers(): boolean {
    return this.#host?.hasSubscribers === true;
  }

  publish(event: Event): void {
    this.#host?.publish(event);
  }

  subscribe(subscriber: (event: Event) => void): () => void {
    // Node reports a throwing subscriber as an uncaught exception, which would end the process.
    const guarded = (message: unknown): void => {
      try {
        subscriber(message as Event);
      } catch {
        // An observer's own fault; the observed work goes on.
      }
    };
    this.#host?.subscribe(guarded);
    return () => void this.#host?.unsubscribe(guarded);
  }
}

// Asked for at run time, so that bundles for browsers need no shim for a node: module.
function diagnosticsChannel(): DiagnosticsModule | undefined {
  const host = (globalThis as { process?: { getBuiltinModule?: (id: string) => unknown } }).process;
  return host?.getBuiltinModule?.("node:diagnostics_channel") as DiagnosticsModule | undefined;
}
