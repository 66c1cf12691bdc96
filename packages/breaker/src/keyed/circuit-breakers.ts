// A breaker for each host, tenant or model: bounded, and never forgetful about one that is open.
import type { Duration } from "@holdfast/core";
import { optionsOf, systemClock } from "@holdfast/core";
import type { CircuitBreaker, CircuitBreakerOptions, CircuitSnapshot } from "../circuit/contract.ts";
import { circuitBreaker, seatedBreaker } from "../circuit/circuit-breaker.ts";
import { Membership } from "../shared/membership.ts";
import type { ShareCloseReport } from "../shared/share.ts";
import { fleetKey, shareSettingsOf } from "../shared/share.ts";

export interface CircuitBreakersOptions extends Omit<CircuitBreakerOptions, "name"> {
  /** Before the key in each breaker's name: `name:key`. @defaultValue "circuit-breaker" */
  readonly name?: string;
  /** Most keys kept. 1 to 1,000,000. @defaultValue 10_000 */
  readonly maxKeys?: number;
  /**
   * Shares each key's circuit under a key of its own in the store. One watch tells of all. Keys of more than 400
   * characters, and the breaker that keys without room share, stay local. `share.key` is what the fleet calls these
   * breakers. @defaultValue not shared
   */
  readonly share?: NonNullable<CircuitBreakerOptions["share"]>;
}

/** Breakers by key, all with the same options. */
export interface CircuitBreakers {
  /**
   * The breaker of a key, made when it is first asked for. Beyond `maxKeys` the closed one that was used longest ago is
   * forgotten, with what it has counted; one that is not closed never is. When no key can be forgotten, new keys share
   * one breaker, named `name:…`, so that neither memory grows nor an open one is lost.
   */
  for(key: string): CircuitBreaker;
  /** Keys that are kept. */
  readonly size: number;
  /** Those that are not closed. */
  open(): readonly CircuitSnapshot[];
  /** As {@link CircuitBreaker.close}, for all keys. */
  close(options?: { readonly within?: Duration }): Promise<ShareCloseReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The defaults of `circuitBreakers`. */
export const CIRCUIT_BREAKERS_DEFAULTS: { readonly maxKeys: number } = { maxKeys: 10_000 };

/** Longest part of a key that is shown in a breaker's name, in characters. */
const MAX_SHOWN = 100;

/** Longest key that is shared, in characters. */
const MAX_SHARED = 400;

/**
 * Makes breakers by key.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { circuitBreakers, consecutive } from "@holdfast/breaker";
 *
 * const hosts = circuitBreakers({ trip: consecutive({ failures: 1 }) });
 * await hosts.for("a.example").run(() => Promise.reject(new Error("down"))).catch(() => {});
 * hosts.for("a.example").state; // => "open"
 * hosts.for("b.example").state; // => "closed"
 * ```
 */
export function circuitBreakers(options: CircuitBreakersOptions = {}): CircuitBreakers {
  const check = optionsOf("circuitBreakers");
  const { maxKeys } = CIRCUIT_BREAKERS_DEFAULTS;
  const name = check.string("name", options.name, 100, "circuit-breaker");
  const limit = check.integer("maxKeys", options.maxKeys, { min: 1, max: 1_000_000 }, maxKeys);
  const { share, ...local } = options;
  // Found out here, not with the first key.
  circuitBreaker({ ...local, name });
  if (share === undefined) return new KeyedBreakers(name, limit, local, undefined);
  const settings = shareSettingsOf("circuitBreakers", name, options.clock ?? systemClock, share);
  return new KeyedBreakers(name, limit, local, new Membership(settings));
}

class KeyedBreakers implements CircuitBreakers {
  /** Closed ones, those used longest ago first. */
  readonly #closed = new Map<string, CircuitBreaker>();
  /** All others: never forgotten. */
  readonly #held = new Map<string, CircuitBreaker>();
  #shared: CircuitBreaker | undefined;

  constructor(
    private readonly name: string,
    private readonly maxKeys: number,
    private readonly options: Omit<CircuitBreakersOptions, "share">,
    private readonly membership: Membership | undefined,
  ) {}

  get size(): number {
    return this.#closed.size + this.#held.size;
  }

  for(key: string): CircuitBreaker {
    const held = this.#held.get(key);
    if (held !== undefined) return held;
    const closed = this.#closed.get(key);
    if (closed !== undefined) {
      this.#closed.delete(key);
      this.#closed.set(key, closed);
      return closed;
    }
    if (typeof key !== "string") optionsOf("for").refuse("key", key, "a string");
    if (this.size >= this.maxKeys) {
      const oldest = this.#closed.keys().next();
      if (oldest.done === true)
        return (this.#shared ??= circuitBreaker({ ...this.options, name: `${this.name}:…` }));
      this.#closed.delete(oldest.value);
      this.membership?.leave(this.#sharedKey(oldest.value));
    }
    const made = this.#make(key);
    this.#moved(key, made, made.state === "closed");
    return made;
  }

  open(): readonly CircuitSnapshot[] {
    return [...this.#held.values()].map((breaker) => breaker.snapshot());
  }

  async close(options: { readonly within?: Duration } = {}): Promise<ShareCloseReport> {
    return (await this.membership?.close(options.within)) ?? { leasesReturned: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #make(key: string): CircuitBreaker {
    const { membership } = this;
    const { onStateChange } = this.options;
    // Empty until it is made: while it is, the fleet may tell it already that it is open.
    const made: { breaker?: CircuitBreaker } = {};
    const options: CircuitBreakerOptions = {
      ...this.options,
      name: `${this.name}:${key.slice(0, MAX_SHOWN)}`,
      onStateChange: (event) => {
        if (made.breaker !== undefined) this.#moved(key, made.breaker, event.to === "closed");
        onStateChange?.(event);
      },
    };
    made.breaker =
      membership === undefined || key.length > MAX_SHARED
        ? circuitBreaker(options)
        : seatedBreaker(options, { membership, key: this.#sharedKey(key) });
    return made.breaker;
  }

  #sharedKey(key: string): string {
    return fleetKey(this.membership?.settings.key ?? "", key);
  }

  /** One that was forgotten while a call of it ran is taken back when that call opens it. */
  #moved(key: string, breaker: CircuitBreaker, isClosed: boolean): void {
    const known = this.#held.get(key) ?? this.#closed.get(key);
    if (known !== undefined && known !== breaker) return;
    this.#held.delete(key);
    this.#closed.delete(key);
    (isClosed ? this.#closed : this.#held).set(key, breaker);
  }
}
