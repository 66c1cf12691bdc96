// Who is let in: within the length of the queue, a tenant's part of it, and time to end by the deadline.
import type { QueueLimit, ScheduledRequest, SchedulerCommand, SchedulerOptions } from "./contract.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { RequestBook } from "./request-book.ts";
import type { Entry, ModelState } from "./state.ts";
import type { Tenant, TenantLedger } from "./tenants.ts";

/** What a refused caller is told to wait at least, in milliseconds. */
const MIN_RETRY_AFTER_MS = 1_000;

/** After how long a request goes like one of the next higher priority where nothing is said, in milliseconds. */
const AGING_MS = 30_000;

export interface AdmissionParts<Request extends ScheduledRequest> {
  readonly ledger: TenantLedger;
  readonly book: RequestBook<Request>;
  readonly dispatcher: Dispatcher<Request>;
  readonly emit: (command: SchedulerCommand<Request>) => void;
  /** How long until all that waits and runs is worked off, in milliseconds. */
  readonly backlogMs: () => number;
}

export class Admission<Request extends ScheduledRequest> {
  readonly #queueLimit: number;
  readonly #tenantLimit: number;
  readonly #agingMs: number;
  #admitted = 0;

  constructor(
    { queueLimit, agingMs, tenantShare }: SchedulerOptions,
    private readonly parts: AdmissionParts<Request>,
  ) {
    this.#queueLimit = queueLimit;
    this.#tenantLimit = Math.max(1, Math.floor(queueLimit * (tenantShare ?? 1)));
    this.#agingMs = agingMs ?? AGING_MS;
  }

  /** How long whoever is refused is told to wait: until what there is has been worked off, in milliseconds. */
  get retryAfterMs(): number {
    return Math.max(MIN_RETRY_AFTER_MS, Math.ceil(this.parts.backlogMs()));
  }

  /** Answers what is to be kept of a request, or says at once why it is not let in. */
  admit(request: Request, model: ModelState<Request> | undefined, now: number): Entry<Request> | undefined {
    const { emit } = this.parts;
    if (model === undefined) {
      emit({ type: "drop", request, why: "unloadable" });
      return undefined;
    }
    const refused = this.#limitOf(model, request, now);
    if (refused !== undefined) {
      emit({ type: "refuse", request, ...refused, retryAfterMs: this.retryAfterMs });
      return undefined;
    }
    const wakeAt = request.deadline - model.leastMs;
    if (wakeAt <= now) {
      emit({ type: "drop", request, why: "deadline" });
      return undefined;
    }
    // Only now: whoever is not let in leaves nothing behind.
    const tenant = this.#tenantOf(request);
    if (tenant === undefined) return undefined;
    this.#admitted += 1;
    return {
      request,
      order: this.#admitted,
      arrivedAt: now,
      level: Math.floor(now / this.#agingMs) - request.priority,
      size: request.size ?? 1,
      tenant,
      model,
      wakeAt,
      batch: undefined,
      stopped: false,
      alone: false,
      wakePlace: -1,
      lanePlace: -1,
    };
  }

  #tenantOf(request: Request): Tenant | undefined {
    try {
      return this.parts.ledger.tenant(request.tenant ?? "");
    } catch (cause) {
      this.parts.emit({ type: "drop", request, why: "invalid", cause });
      return undefined;
    }
  }

  /** The limit that a request would go beyond. */
  #limitOf(
    model: ModelState<Request>,
    request: Request,
    now: number,
  ): { readonly limit: QueueLimit; readonly waiting: number } | undefined {
    const { book, dispatcher, ledger } = this.parts;
    const ofModel = model.queue.size;
    const isModelFull = ofModel >= model.queueLimit;
    const isFull = book.waiting >= this.#queueLimit;
    // No tenant has more waiting than there are: mostly it need not be looked for.
    const ofTenant = book.waiting < this.#tenantLimit ? 0 : ledger.waitingOf(request.tenant ?? "");
    if (!isModelFull && !isFull && ofTenant < this.#tenantLimit) return undefined;
    // Who can start at once does not wait, so it needs no room.
    if (ofModel === 0 && dispatcher.startsAtOnce(model, request, now)) return undefined;
    if (isModelFull) return { limit: "model", waiting: ofModel };
    return isFull ? { limit: "pool", waiting: book.waiting } : { limit: "tenant", waiting: ofTenant };
  }
}
