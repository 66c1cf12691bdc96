// A shared cache of responses around a handler: RFC 9111.
import type { Handler, Middleware } from "@holdfast/core";
import { asError, ClosedError, notify, optionsOf, TimeoutError } from "@holdfast/core";
import { createCache } from "../create-cache.ts";
import { within } from "../load/within.ts";
import { addressTag, normalisedUrl, wordTag } from "./address.ts";
import type { Answer } from "./answer.ts";
import { insteadOfError, notCached, pass, responseFrom, responseOf, served, told } from "./answer.ts";
import type { Asker } from "./asker.ts";
import { askerOf } from "./asker.ts";
import { isForOriginOnly } from "./conditional.ts";
import type { HttpCache, HttpCacheNeeds, HttpCacheOptions, HttpCacheStore } from "./contract.ts";
import type { CacheStatus } from "./fields.ts";
import { Fill } from "./fill.ts";
import type { Found } from "./lookup.ts";
import { Lookup } from "./lookup.ts";
import { Questions } from "./questions.ts";
import { RecentKeys } from "./recent-keys.ts";
import { isServedOnError, reuseOf } from "./reuse.ts";
import type { HttpCacheSettings } from "./settings.ts";
import { HTTP_CACHE_DEFAULTS, httpSettingsOf } from "./settings.ts";
import type { StoredResponse } from "./stored-response.ts";

/**
 * A cache for the answers of a handler, as RFC 9111 has it for caches that are shared: it keeps what may be kept, for as long as
 * it is fresh, asks whether it has changed after that, and forgets it when a request changes what is behind it. What
 * depends on who asks is never given to anybody else: answers to requests with `Authorization`, a cookie or another
 * credential are kept, and given to such, only if they say that they are for everybody.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { httpCache } from "@holdfast/cache/http";
 * import { withMiddleware } from "@holdfast/core";
 *
 * let asked = 0;
 * const cache = httpCache();
 * const handler = withMiddleware(
 *   () => new Response(`answer ${(asked += 1)}`, { headers: { "cache-control": "max-age=60" } }),
 *   cache.middleware,
 * );
 * const ask = async () => (await handler(new Request("http://shop/books"))).text();
 * [await ask(), await ask()]; // => ["answer 1", "answer 1"]
 * await cache.purge("http://shop/books");
 * await ask(); // => "answer 2"
 * ```
 */
export function httpCache(options: HttpCacheOptions = {}): HttpCache {
  return new ResponseCache(httpSettingsOf(options), options.cache ?? inMemory);
}

/** These change nothing (RFC 9110 §9.2.1). */
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** How often a request looks again after it has waited for another. */
const MAX_ROUNDS = 3;

/** How long those who ask for what could not be kept do not wait for each other, in milliseconds. */
const NOT_KEPT_MS = 10_000;

/** How long validating in the background is not tried again when it has failed, in milliseconds. */
const PAUSE_MS = 1_000;

/** A question may take so long, in milliseconds: the handler has deadlines of its own. */
const LONGEST_MS = 300_000;

class ResponseCache implements HttpCache {
  readonly name: string;
  readonly #store: HttpCacheStore;
  readonly #questions = new Questions();
  readonly #lookup: Lookup;
  readonly #notKept: RecentKeys;
  readonly #paused: RecentKeys;
  #isClosed = false;

  constructor(
    private readonly settings: HttpCacheSettings,
    make: (needs: HttpCacheNeeds) => HttpCacheStore,
  ) {
    this.name = settings.name;
    this.#notKept = new RecentKeys(settings.clock, NOT_KEPT_MS);
    this.#paused = new RecentKeys(settings.clock, PAUSE_MS);
    this.#store = make({
      name: settings.name,
      load: (key, { signal }) => this.#questions.load(key, signal),
      ttl: ({ keptMs }) => keptMs,
      // Freshness is told by what is kept.
      jitter: 0,
      tags: ({ tags }) => tags,
      sizeOf: bytesOf,
      hardDeadline: LONGEST_MS,
      abandonAfter: LONGEST_MS,
      clock: settings.clock,
    });
    this.#lookup = new Lookup(this.#store, this.#questions, settings);
  }

  readonly middleware: Middleware = async (request, next) => {
    if (this.#isClosed) return next(request);
    const { method, headers } = request;
    if (!SAFE.has(method)) return this.#change(request, next);
    if (method !== "GET" && method !== "HEAD")
      return this.#told(await pass(request, next, { fwd: "method" }));
    if (isForOriginOnly(headers)) return this.#told(await pass(request, next, { fwd: "bypass" }));
    const asker = await askerOf(request, this.settings);
    return this.#told(await (method === "GET" ? this.#get(asker, next) : this.#head(asker, next)));
  };

  async purge(url: string | URL): Promise<void> {
    await this.#store.invalidateTag(await addressTag(this.#address(String(url))));
  }

  async purgeTag(tag: string): Promise<void> {
    await this.#store.invalidateTag(wordTag(optionsOf("purgeTag").string("tag", tag)));
  }

  async purgeAll(): Promise<void> {
    await this.#store.clear();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #get(asker: Asker, next: Handler): Promise<Answer> {
    const { directives, request } = asker;
    const { clock, collapseForMs } = this.settings;
    const until = clock.monotonic() + collapseForMs;
    const isNoStore = directives.has("no-store");
    const isCachedOnly = directives.has("only-if-cached");
    if (this.#notKept.has(noteOf(asker, asker.key)) && !isCachedOnly)
      return pass(request, next, { fwd: "uri-miss", detail: "not-kept" });
    for (let round = 0; ; round += 1) {
      const isCollapsed = round > 0;
      const fill = isNoStore || isCachedOnly ? undefined : new Fill(asker, next, undefined, this.settings);
      const found = await this.#lookup.find(asker, fill);
      if (found.kind === "led") return this.#lead(asker, asker.key, fill!, next, { fwd: "uri-miss" });
      if (found.kind === "stored") {
        const answer = this.#reuse(asker, found, next, isCollapsed);
        if (answer !== undefined) return answer;
      }
      // RFC 9111 §5.2.1.7
      if (isCachedOnly) return notCached();
      const fwd =
        found.kind === "missing" ? found.fwd : found.kind === "stored" ? forwardOf(asker) : "uri-miss";
      if (found.kind === "closed") return pass(request, next, { fwd: "bypass", detail: found.detail });
      if (isNoStore) return pass(request, next, { fwd: "request" });
      if (found.kind === "missing" && this.#notKept.has(noteOf(asker, found.key)))
        return pass(request, next, { fwd, detail: "not-kept" });
      const flight = found.kind === "asked" ? found.by : this.#questions.of(found.key);
      if (flight === undefined && found.kind !== "asked") {
        request.signal.throwIfAborted();
        const kept = found.kind === "stored" ? found.stored : undefined;
        const asking = new Fill(asker, next, kept, this.settings);
        this.#questions.ask(this.#store, found.key, asking);
        return this.#lead(asker, found.key, asking, next, { fwd });
      }
      // Whoever wants it validated wants it from now.
      const isPatient = round < MAX_ROUNDS && !directives.has("no-cache");
      if (!isPatient || !(await this.#wait(flight!, until - clock.monotonic(), request.signal)))
        return pass(request, next, { fwd, detail: "not-collapsed" });
      if (this.#notKept.has(noteOf(asker, asker.key)))
        return pass(request, next, { fwd, detail: "not-kept" });
    }
  }

  /** From what is kept of GET (RFC 9111 §4); what has to be asked is asked without keeping anything. */
  async #head(asker: Asker, next: Handler): Promise<Answer> {
    const found = await this.#lookup.find(asker, undefined);
    if (found.kind === "stored") {
      const { stored } = found;
      const reuse = reuseOf(stored, asker.directives, this.settings.clock.now());
      if (reuse.kind !== "validate") return served(asker, stored, reuse, false);
    }
    if (asker.directives.has("only-if-cached")) return notCached();
    return pass(asker.request, next, { fwd: "method" });
  }

  /** RFC 9111 §4.4. What fails in the middle may have changed something too. */
  async #change(request: Request, next: Handler): Promise<Response> {
    let response: Response;
    try {
      response = await next(request);
    } catch (error) {
      await this.#forget([request.url]);
      throw error;
    }
    const { status, headers } = response;
    if (status < 400 || status >= 500) {
      const others = [headers.get("location"), headers.get("content-location")];
      await this.#forget([request.url, ...others.flatMap((other) => sameOrigin(other, request.url))]);
    }
    return this.#told({ response, result: "bypass", status: { fwd: "method" } });
  }

  async #forget(urls: readonly string[]): Promise<void> {
    for (const url of urls) {
      try {
        await this.purge(url);
      } catch (error) {
        // The request has been answered; its answer is not lost because of it.
        notify(this.settings.onError, asError(error));
      }
    }
  }

  /** The answer to this request's own question, as soon as its head is there. */
  async #lead(asker: Asker, key: string, fill: Fill, next: Handler, status: CacheStatus): Promise<Answer> {
    const { signal } = asker.request;
    const { clock } = this.settings;
    const onAbort = (): void => fill.leave(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    let outcome;
    try {
      if (signal.aborted) onAbort();
      signal.throwIfAborted();
      outcome = await within(Promise.race([fill.outcome, this.#lost(fill)]), {
        clock,
        limitMs: 2 * LONGEST_MS,
        late: () => new TimeoutError(this.name, 2 * LONGEST_MS),
        signal,
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    // The store has never asked: it cannot be reached, or was closed.
    if (outcome === undefined) return pass(asker.request, next, { fwd: "bypass", detail: "unavailable" });
    if (outcome.kind === "new")
      return {
        response: responseOf(outcome, asker, clock.now()),
        result: "miss",
        status: { ...status, fwdStatus: outcome.head.status, stored: true },
      };
    if (outcome.kind === "validated") {
      const { stored } = outcome;
      const response = responseFrom(stored, asker, stored.initialAgeMs);
      return { response, result: "validated", status: { ...status, fwdStatus: 304, stored: true } };
    }
    if (outcome.kind === "failed") {
      this.#paused.add(key);
      const why = outcome.status === undefined ? {} : { fwdStatus: outcome.status };
      return insteadOfError(asker, fill.kept!, clock.now(), { ...status, ...why });
    }
    const { response, refusal } = outcome;
    if (response.status < 500) this.#notKept.add(noteOf(asker, key));
    // From here on nobody but whoever asked wants it.
    if (signal.aborted) fill.abort(signal.reason);
    else signal.addEventListener("abort", () => fill.abort(signal.reason), { once: true });
    return {
      response,
      result: "miss",
      status: { ...status, fwdStatus: response.status, detail: refusal },
    };
  }

  /** Resolves if the store has never asked. */
  async #lost(fill: Fill): Promise<undefined> {
    await fill.landed;
    return fill.isStarted ? new Promise<never>(() => {}) : undefined;
  }

  /** What is kept, if it answers the request as it is. */
  #reuse(
    asker: Asker,
    { key, stored }: Extract<Found, { kind: "stored" }>,
    next: Handler,
    isCollapsed: boolean,
  ): Answer | undefined {
    const reuse = reuseOf(stored, asker.directives, this.settings.clock.now());
    if (reuse.kind === "validate") {
      const nowMs = this.settings.clock.now();
      // Validating it has failed just now.
      const isInstead = this.#paused.has(key) && isServedOnError(stored, asker.directives, nowMs);
      return isInstead ? insteadOfError(asker, stored, nowMs, { hit: true }) : undefined;
    }
    if (reuse.kind === "stale" && reuse.isRenewed) this.#renew(asker, key, stored, next);
    return served(asker, stored, reuse, isCollapsed);
  }

  /** RFC 5861 §3: validates in the background. */
  #renew(asker: Asker, key: string, stored: StoredResponse, next: Handler): void {
    if (this.#questions.of(key) !== undefined || this.#paused.has(key)) return;
    const fill = new Fill(asker, next, stored, this.settings);
    this.#questions.ask(this.#store, key, fill);
    fill.outcome.then(
      (outcome) => {
        if (outcome.kind === "failed") this.#paused.add(key);
        if (outcome.kind === "new") void outcome.body?.stream.cancel().catch(() => {});
        if (outcome.kind !== "private") return;
        if (outcome.response.status >= 500) this.#paused.add(key);
        fill.abort(new ClosedError("a request in the background"));
        void outcome.response.body?.cancel().catch(() => {});
      },
      (error: unknown) => {
        this.#paused.add(key);
        notify(this.settings.onError, asError(error));
      },
    );
  }

  /** @returns whether it has landed in time. */
  async #wait(flight: Fill, limitMs: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (limitMs <= 0) return false;
    flight.waiting += 1;
    try {
      await within(flight.landed, {
        clock: this.settings.clock,
        limitMs,
        late: () => new ClosedError("waiting for another request"),
        signal,
      });
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    } finally {
      flight.waiting -= 1;
    }
  }

  #address(url: string): string {
    try {
      return normalisedUrl(url, this.settings.query);
    } catch {
      return optionsOf("purge").refuse("url", url, "an absolute address");
    }
  }

  #told(answer: Answer): Response {
    return told(answer, this.settings);
  }
}

function inMemory(needs: HttpCacheNeeds): HttpCacheStore {
  const { maxEntries, maxBytes } = HTTP_CACHE_DEFAULTS;
  return createCache({ ...needs, maxEntries, maxBytes });
}

/** Those with credentials and those without are not noted together: what the ones are given says nothing about the others. */
function noteOf({ isAuthorized, isKnown }: Asker, key: string): string {
  return isAuthorized || isKnown ? `+${key}` : key;
}

function forwardOf({ directives }: Asker): "request" | "stale" {
  return directives.has("no-cache") ? "request" : "stale";
}

/** An address in a field, if it is of the same origin (RFC 9111 §4.4). */
function sameOrigin(field: string | null, base: string): readonly string[] {
  if (field === null || !URL.canParse(field, base)) return [];
  const url = new URL(field, base);
  return url.origin === new URL(base).origin ? [url.href] : [];
}

function bytesOf({ body, headers }: StoredResponse): number {
  let size = 500 + body.byteLength;
  for (const [name, value] of headers) size += name.length + value.length;
  return size;
}
