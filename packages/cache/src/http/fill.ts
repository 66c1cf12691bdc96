// One question to the origin, and what becomes of its answer: for whoever asked, and for the cache.
import { HoldfastError, remoteAddressOf, withRemoteAddress } from "@holdfast/core";
import type { Handler } from "@holdfast/core";
import type { Asker } from "./asker.ts";
import type { CollectedBody } from "./collect-body.ts";
import { collectBody } from "./collect-body.ts";
import { hasValidator, isAbout, validatingFields } from "./conditional.ts";
import { fieldsAsSent, freshenedFields, headersOf } from "./fields.ts";
import type { Exchange } from "./freshness.ts";
import { formatHttpDate } from "./http-date.ts";
import { isServedOnError } from "./reuse.ts";
import type { HttpCacheSettings } from "./settings.ts";
import type { Refusal, ResponseHead, Unfilled } from "./storable.ts";
import { storableAs } from "./storable.ts";
import type { StoredResponse } from "./stored-response.ts";

/** What the origin's answer is for whoever asked. */
export type Outcome =
  /** To be kept once its body is there; it is sent on meanwhile. */
  | {
      readonly kind: "new";
      readonly head: ResponseHead;
      readonly body: CollectedBody | undefined;
      readonly as: Unfilled;
    }
  /** What is kept is still right (304). */
  | { readonly kind: "validated"; readonly stored: StoredResponse }
  /** Only for whoever asked. */
  | { readonly kind: "private"; readonly response: Response; readonly refusal: Refusal }
  /** The origin has failed, and what is kept may be served instead. */
  | { readonly kind: "failed"; readonly status: number | undefined };

/** Statuses for which `stale-if-error` was made (RFC 5861 §4). */
const FAILURES = new Set([500, 502, 503, 504]);

/** Has no body (Fetch, "null body status"). */
export const BODILESS: ReadonlySet<number> = new Set([101, 103, 204, 205, 304]);

/** The answer is not for the cache, and what it had stays. Seen by nobody but the cache. */
class NotReplacedError extends HoldfastError {
  override readonly code = "RESPONSE_NOT_REPLACED";

  constructor() {
    super("the origin has not answered with anything that could be kept");
  }
}

export class Fill {
  isStarted = false;
  /** Others who wait for it. */
  waiting = 0;
  /** Resolves when the cache has asked for it. */
  readonly started: Promise<void>;
  /** At the end of the head of the origin's answer. */
  readonly outcome: Promise<Outcome>;
  /** When the cache has it, or will not. */
  readonly landed: Promise<void>;
  #start: () => void = () => {};
  #land: () => void = () => {};
  #resolve: (outcome: Outcome) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #isAnswered = false;
  /** Made when it is asked: most requests are answered without. */
  #controller: AbortController | undefined;

  constructor(
    readonly asker: Asker,
    private readonly next: Handler,
    /** What is to be validated. */
    readonly kept: StoredResponse | undefined,
    private readonly settings: HttpCacheSettings,
  ) {
    this.started = new Promise((resolve) => {
      this.#start = resolve;
    });
    this.landed = new Promise((resolve) => {
      this.#land = resolve;
    });
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever asked may have left.
    this.outcome.catch(() => {});
  }

  /** @returns what is to be kept. @throws what the origin fails with; then what was kept stays. */
  async run(signal: AbortSignal): Promise<StoredResponse | undefined> {
    this.isStarted = true;
    this.#start();
    let giveUp = (): void => this.abort(signal.reason);
    const onAbort = (): void => giveUp();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const outcome = await this.#ask();
      this.#isAnswered = true;
      // Whoever asked goes on reading, whatever becomes of the cache.
      giveUp = (): void => (outcome.kind === "new" ? outcome.body?.giveUp() : undefined);
      if (signal.aborted) giveUp();
      this.#resolve(outcome);
      return await this.#toKeep(outcome);
    } catch (error) {
      this.#isAnswered = true;
      this.#reject(error);
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The cache is through with it. */
  end(): void {
    this.#start();
    this.#land();
  }

  /** Whoever asked has left: nobody else is kept waiting by it, and nothing goes on for nobody. */
  leave(reason: unknown): void {
    if (!this.#isAnswered && this.waiting === 0) this.abort(reason);
  }

  /** Whoever asked alone has left. */
  abort(reason: unknown): void {
    this.#control().abort(reason);
  }

  async #toKeep(outcome: Outcome): Promise<StoredResponse | undefined> {
    if (outcome.kind === "validated") return outcome.stored;
    if (outcome.kind === "new") {
      const body = outcome.body === undefined ? new Uint8Array() : await outcome.body.whole;
      const declared = outcome.head.headers.get("content-length");
      // RFC 9111 §3.3: what has ended too early is not kept. Of another coding than sent the length is not known.
      if (body === undefined || (declared !== null && Number(declared) !== body.byteLength)) return undefined;
      return { ...outcome.as, body };
    }
    const isReplacing =
      outcome.kind === "private" && outcome.response.status < 500 && outcome.refusal !== "credentials";
    if (this.kept === undefined || isReplacing) return undefined;
    throw new NotReplacedError();
  }

  async #ask(): Promise<Outcome> {
    try {
      const { kept } = this;
      const keptFields = kept && headersOf(kept.headers);
      const outcome = await this.#exchange(keptFields);
      // About something else than what is kept: then all of it.
      return outcome ?? (await this.#exchange(undefined))!;
    } catch (error) {
      if (this.#control().signal.aborted || !this.#isServedOnError()) throw error;
      return { kind: "failed", status: undefined };
    }
  }

  async #exchange(keptFields: Headers | undefined): Promise<Outcome | undefined> {
    const { clock } = this.settings;
    const { headers } = this.asker;
    const validated = keptFields && hasValidator(keptFields) ? keptFields : undefined;
    const requestedAtMs = clock.now();
    const response = await this.next(this.#forwarded(validatingFields(headers, validated)));
    const exchange = { requestedAtMs, receivedAtMs: clock.now() };
    if (validated !== undefined && response.status === 304) {
      void response.body?.cancel().catch(() => {});
      if (!isAbout(response.headers, validated)) return undefined;
      return this.#validated(response.headers, exchange);
    }
    if (FAILURES.has(response.status) && this.#isServedOnError()) {
      void response.body?.cancel().catch(() => {});
      return { kind: "failed", status: response.status };
    }
    return this.#fresh(response, exchange);
  }

  /** RFC 9111 §4.3.4. */
  async #validated(fresh: Headers, exchange: Exchange): Promise<Outcome> {
    const { status, statusText, headers, body } = this.kept!;
    const dated = new Headers(fresh);
    if (!dated.has("date")) dated.set("date", formatHttpDate(exchange.receivedAtMs));
    const head = { status, statusText, headers: freshenedFields(headers, dated) };
    const as = await storableAs(head, this.asker, exchange, this.settings);
    if (typeof as !== "string") return { kind: "validated", stored: { ...as, body } };
    const response = new Response(BODILESS.has(status) ? null : bytes(body), head);
    return { kind: "private", response, refusal: as };
  }

  async #fresh(response: Response, exchange: Exchange): Promise<Outcome> {
    const { maxBodyBytes } = this.settings;
    const { status, statusText } = response;
    const head = { status, statusText, headers: fieldsAsSent(response) };
    const as = await storableAs(head, this.asker, exchange, this.settings);
    if (typeof as === "string") return { kind: "private", response, refusal: as };
    if (Number(head.headers.get("content-length") ?? 0) > maxBodyBytes)
      return { kind: "private", response, refusal: "too-large" };
    const body = response.body === null ? undefined : collectBody(response.body, maxBodyBytes);
    return { kind: "new", head, body, as };
  }

  #forwarded(headers: Headers): Request {
    const { request } = this.asker;
    const forwarded = new Request(request, { headers, signal: this.#control().signal });
    return withRemoteAddress(forwarded, remoteAddressOf(request));
  }

  #control(): AbortController {
    return (this.#controller ??= new AbortController());
  }

  #isServedOnError(): boolean {
    const { kept, asker, settings } = this;
    return kept !== undefined && isServedOnError(kept, asker.directives, settings.clock.now());
  }
}

/** As the body of a response; its bytes are copied. */
export function bytes(body: Uint8Array): Uint8Array<ArrayBuffer> {
  return body as Uint8Array<ArrayBuffer>;
}
