// Finds what is kept for a request, among what is kept from its address.
import { ClosedError } from "@holdfast/core";
import { hashOf } from "../eviction/frequency-sketch.ts";
import { within } from "../load/within.ts";
import type { Asker } from "./asker.ts";
import { isFor } from "./asker.ts";
import type { HttpCacheStore } from "./contract.ts";
import type { Fill } from "./fill.ts";
import type { Questions } from "./questions.ts";
import type { HttpCacheSettings } from "./settings.ts";
import type { StoredResponse } from "./stored-response.ts";
import { isStoredResponse } from "./stored-response.ts";
import { variantOf } from "./vary.ts";

/** What is there for a request. */
export type Found =
  | { readonly kind: "stored"; readonly key: string; readonly stored: StoredResponse }
  | { readonly kind: "missing"; readonly key: string; readonly fwd: "uri-miss" | "vary-miss" }
  /** Somebody asks for it; nothing is there yet. */
  | { readonly kind: "asked"; readonly by: Fill }
  /** This request's own question is under way. */
  | { readonly kind: "led" }
  /** It is not for this request, or the cache cannot say. */
  | { readonly kind: "closed"; readonly detail: string };

/** How long the store may take, in milliseconds; then the request is handed on. */
const LOOKUP_MS = 5_000;

export class Lookup {
  constructor(
    private readonly store: HttpCacheStore,
    private readonly questions: Questions,
    private readonly settings: HttpCacheSettings,
  ) {}

  /** Looks for what is kept for the request; the store may ask `fill` where there is nothing from its address. */
  async find(asker: Asker, fill: Fill | undefined): Promise<Found> {
    const { key, headers } = asker;
    const { credentials } = this.settings;
    const asked = this.questions.firstOf(key);
    if (asked !== undefined) return { kind: "asked", by: asked };
    const first = await this.#read(key, fill, asker.request.signal);
    if (fill?.isStarted === true) return { kind: "led" };
    if (first === "unknown") return { kind: "closed", detail: "unavailable" };
    if (first === undefined) return { kind: "missing", key, fwd: "uri-miss" };
    if (await this.#isLike(first, headers)) return candidate(asker, key, first);
    // What is there tells by what others are told apart. They have a bounded number of places, and each has two of them.
    const variant = await variantOf(first.varyNames, headers, credentials);
    let free: string | undefined;
    const places = placesOf(key, variant, this.settings.maxVariants);
    for (const place of places) {
      const other = this.questions.firstOf(place);
      if (other !== undefined) {
        const isSame = (await variantOf(first.varyNames, other.asker.headers, credentials)) === variant;
        if (isSame) return { kind: "asked", by: other };
        continue;
      }
      const stored = await this.#read(place, undefined, asker.request.signal);
      if (stored === "unknown") return { kind: "closed", detail: "unavailable" };
      if (stored === undefined) free ??= place;
      else if (await this.#isLike(stored, headers)) return candidate(asker, place, stored);
    }
    return { kind: "missing", key: free ?? places.at(-1)!, fwd: "vary-miss" };
  }

  async #isLike({ varyNames, variant }: StoredResponse, headers: Headers): Promise<boolean> {
    return (
      varyNames.length === 0 || (await variantOf(varyNames, headers, this.settings.credentials)) === variant
    );
  }

  /** `"unknown"`: the store does not say in time, or cannot. */
  async #read(
    key: string,
    fill: Fill | undefined,
    signal: AbortSignal,
  ): Promise<StoredResponse | undefined | "unknown"> {
    signal.throwIfAborted();
    const reading = fill === undefined ? this.store.get(key) : this.questions.get(this.store, key, fill);
    try {
      const { clock } = this.settings;
      const value = await within(fill === undefined ? reading : Promise.race([reading, fill.started]), {
        clock,
        limitMs: LOOKUP_MS,
        late: () => new ClosedError("waiting for another process"),
        signal,
      });
      return isStoredResponse(value as StoredResponse | undefined) ? (value as StoredResponse) : undefined;
    } catch {
      signal.throwIfAborted();
      return "unknown";
    } finally {
      if (fill?.isStarted === false) this.questions.withdraw(key, fill);
    }
  }
}

function candidate(asker: Asker, key: string, stored: StoredResponse): Found {
  return isFor(asker, stored) ? { kind: "stored", key, stored } : { kind: "closed", detail: "credentials" };
}

/** Two of a bounded number of places. */
function placesOf(key: string, variant: string, count: number): readonly string[] {
  const numbers = [0, 1].map((seed) => (hashOf(variant, seed) >>> 0) % count);
  return [...new Set(numbers)].map((number) => `${key}#${number}`);
}
