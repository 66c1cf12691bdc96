// The requests a pool has: each is held from its arrival until nothing of it waits or runs, and answered once.
import type { Clock, Timer } from "@holdfast/core";
import { channel, MAX_DURATION_MS } from "@holdfast/core";
import type { RequestCounts, RequestEvent } from "./observe.ts";
import type { ScheduledRequest } from "./scheduler/contract.ts";

const requestEnded = /* @__PURE__ */ channel<RequestEvent>("gpu-pool", "request");

export interface PoolRequest extends ScheduledRequest {
  readonly input: unknown;
  readonly transfer: readonly ArrayBuffer[] | undefined;
  readonly onProgress: ((value: unknown) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly arrivedAt: number;
  startedAt: number | undefined;
  device: string | undefined;
  batch: number;
  /** What runs in one batch, itself included. */
  mates: readonly PoolRequest[];
  /** Its caller has an answer; what still runs of it is on its way out. */
  answered: boolean;
  graceTimer?: Timer;
  leaveSignal?: () => void;
}

export class PoolRequests {
  readonly #requests = new Map<number, PoolRequest>();
  /** Keeps the process while there are requests. */
  #hold: Timer | undefined;
  #onIdle: (() => void)[] = [];
  #finished = 0;
  readonly #ended = {
    succeeded: 0,
    failed: 0,
    crashed: 0,
    cancelled: 0,
    deadline: 0,
    refused: 0,
    closed: 0,
  };

  constructor(
    private readonly pool: string,
    private readonly clock: Clock,
  ) {}

  /** Requests that ran to their end, well or not, and had somebody to answer. */
  get finished(): number {
    return this.#finished;
  }

  /** How those that were answered have ended. */
  get ended(): RequestCounts {
    return { ...this.#ended };
  }

  get(id: number): PoolRequest | undefined {
    return this.#requests.get(id);
  }

  has(id: number): boolean {
    return this.#requests.has(id);
  }

  all(): readonly PoolRequest[] {
    return [...this.#requests.values()];
  }

  /** From here on until it is forgotten, a request is held and its caller's signal followed. */
  accept(request: PoolRequest, onAbort: () => void): void {
    this.#requests.set(request.id, request);
    this.#hold ??= this.clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
    const { signal } = request;
    if (signal === undefined) return;
    signal.addEventListener("abort", onAbort, { once: true });
    request.leaveSignal = () => signal.removeEventListener("abort", onAbort);
  }

  /** Gives the caller its answer, the first time. */
  answer(request: PoolRequest, outcome: RequestEvent["outcome"], settle: () => void): void {
    if (request.answered) return;
    request.answered = true;
    this.#ended[outcome] += 1;
    request.leaveSignal?.();
    settle();
    if (requestEnded.hasSubscribers) this.#publish(request, outcome);
  }

  /** It has run to its end. */
  finish(request: PoolRequest, outcome: "succeeded" | "failed" | "crashed", settle: () => void): void {
    if (!request.answered) this.#finished += 1;
    this.answer(request, outcome, settle);
  }

  /** Nothing of the request waits or runs any more. */
  forget(request: PoolRequest): void {
    this.#requests.delete(request.id);
    request.graceTimer?.cancel();
    if (this.#requests.size > 0) return;
    this.#hold?.cancel();
    this.#hold = undefined;
    for (const tell of this.#onIdle.splice(0)) tell();
  }

  /** Resolves once there are none. */
  async idle(): Promise<void> {
    if (this.#requests.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  #publish(request: PoolRequest, outcome: RequestEvent["outcome"]): void {
    const now = this.clock.monotonic();
    const startedAt = request.startedAt ?? now;
    requestEnded.publish({
      pool: this.pool,
      model: request.model,
      outcome,
      waitedMs: startedAt - request.arrivedAt,
      ranMs: now - startedAt,
      ...(request.device === undefined ? {} : { device: request.device }),
    });
  }
}

/** Whether buffers of its input have left with a worker: what is left of it here is not what its caller meant. */
export function isEmptied({ transfer }: PoolRequest): boolean {
  return transfer !== undefined && transfer.some(({ byteLength }) => byteLength === 0);
}

/** Why a request is to stop, in words. */
export function reasonText(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.aborted === true ? signal.reason : "the deadline has passed";
  return reason instanceof Error ? reason.message : String(reason);
}
