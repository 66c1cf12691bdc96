// What can go wrong in a pool, one class per condition a caller handles differently.
import type { HoldfastErrorOptions } from "@holdfast/core";
import { HoldfastError } from "@holdfast/core";
import type { QueueLimit } from "./scheduler/contract.ts";

const FULL: Readonly<Record<QueueLimit, string>> = {
  pool: "the pool is full",
  tenant: "the tenant's part of the queue is full",
  model: "the model's queue is full",
};

/** As many requests wait as may. `code: "POOL_SATURATED"`, with a computed `retryAfterMs`. */
export class PoolSaturatedError extends HoldfastError {
  override readonly code = "POOL_SATURATED";
  override readonly status = 503;

  constructor(
    /** Requests waiting, of those that are limited. */
    readonly waiting: number,
    retryAfterMs: number,
    /** Which limit is met: the pool's, its tenant's part of that, or its model's. */
    readonly limit: QueueLimit = "pool",
  ) {
    super(`${FULL[limit]}: ${waiting} requests are waiting`, { retryAfterMs });
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { waiting: this.waiting, limit: this.limit };
  }
}

/**
 * The request's deadline has passed, or would pass before it could end. `code: "DEADLINE_EXCEEDED"`. Where no device was up,
 * the `cause` says why.
 */
export class DeadlineExceededError extends HoldfastError {
  override readonly code = "DEADLINE_EXCEEDED";
  override readonly status = 504;

  constructor(
    readonly model: string,
    /** `"waiting"`: it never started. `"running"`: it was stopped. */
    readonly phase: "waiting" | "running",
    options?: ErrorOptions,
  ) {
    const why = options?.cause === undefined ? "" : ", as no device was up";
    super(`the deadline passed while the request for ${model} was ${phase}${why}`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model, phase: this.phase };
  }
}

/** The worker that ran the request died, by its fault or not. `code: "WORKER_CRASHED"`; the `cause` says how. */
export class WorkerCrashedError extends HoldfastError {
  override readonly code = "WORKER_CRASHED";
  override readonly status = 500;

  constructor(
    readonly device: string,
    readonly model: string,
    options?: ErrorOptions,
  ) {
    super(`the worker of ${device} died while it ran ${model}`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { device: this.device, model: this.model };
  }
}

/** A worker ended, could not be started, or does not answer. `code: "WORKER_FAILED"`. Never the answer to a request. */
export class WorkerFailedError extends HoldfastError {
  override readonly code = "WORKER_FAILED";
  override readonly status = 500;

  constructor(
    readonly device: string,
    what: string,
    options?: ErrorOptions,
  ) {
    super(`the worker of ${device} ${what}`, options);
  }
}

/**
 * The model itself failed. `code: "MODEL_FAILED"`. What it threw lived elsewhere: `reason` is its code or name, and
 * the `cause` an error with its name, message and stack. A server that is busy (`HTTP_429`, `HTTP_503`) makes it a 503, with
 * the server's `retryAfterMs` if it has said one.
 */
export class ModelFailedError extends HoldfastError {
  override readonly code = "MODEL_FAILED";
  override readonly status: number;

  constructor(
    readonly model: string,
    /** The `code` of what the model threw, or its name. */
    readonly reason: string,
    message: string,
    options?: HoldfastErrorOptions,
  ) {
    super(message, options);
    this.status = /^HTTP_(?:429|503)$/.test(reason) ? 503 : 500;
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model, reason: this.reason };
  }
}

/** No device of that name is in the pool. `code: "UNKNOWN_DEVICE"`. */
export class UnknownDeviceError extends HoldfastError {
  override readonly code = "UNKNOWN_DEVICE";
  override readonly status = 404;

  constructor(readonly device: string) {
    super(`no device ${JSON.stringify(device)} is in the pool`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { device: this.device };
  }
}

/** A model could not be loaded on any device. `code: "MODEL_UNAVAILABLE"`. */
export class ModelUnavailableError extends HoldfastError {
  override readonly code = "MODEL_UNAVAILABLE";
  override readonly status = 503;

  constructor(readonly model: string) {
    super(`${model} could not be loaded on any device`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model };
  }
}

/** A request needs more memory than a device has free, even alone. `code: "OUT_OF_MEMORY"`; the `cause` is what was said. */
export class OutOfMemoryError extends HoldfastError {
  override readonly code = "OUT_OF_MEMORY";
  override readonly status = 507;

  constructor(
    readonly device: string,
    readonly model: string,
    options?: ErrorOptions,
  ) {
    super(`a request for ${model} does not fit into the memory of ${device}`, options);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { device: this.device, model: this.model };
  }
}

/** No model of that name is registered. `code: "UNKNOWN_MODEL"`. */
export class UnknownModelError extends HoldfastError {
  override readonly code = "UNKNOWN_MODEL";
  override readonly status = 404;

  constructor(readonly model: string) {
    super(`no model ${JSON.stringify(model)} is registered`);
  }

  protected override problemFields(): Readonly<Record<string, unknown>> {
    return { model: this.model };
  }
}
