// What the scheduler is told and what it answers with: events in, commands out, nothing else.
import type { Device } from "../device.ts";

/** A request as the scheduler sees it. */
export interface ScheduledRequest {
  /** From 0. Unique, and never used again. */
  readonly id: number;
  /** `name@version`. */
  readonly model: string;
  /** Higher goes first. */
  readonly priority: number;
  /** On the owner's monotonic clock, in milliseconds; `Infinity` without one. */
  readonly deadline: number;
  /** Whose device time it uses. @defaultValue "" */
  readonly tenant?: string | undefined;
  /** How many units of a batch it takes, such as pictures. Above 0. @defaultValue 1 */
  readonly size?: number | undefined;
  /** Requests with the same key prefer the device that served the last of them, such as a session or a prefix. */
  readonly affinity?: string | undefined;
}

/** How long a batch takes: `perItemMs × units + fixedMs`, in milliseconds. */
export interface BatchTimes {
  /** α: grows with every unit. */
  readonly perItemMs: number;
  /** β: the same for every batch. */
  readonly fixedMs: number;
}

/** A model as the scheduler sees it. */
export interface ScheduledModel {
  /** `name@version`. */
  readonly key: string;
  /** Memory on each device that holds it, in bytes. @defaultValue 0 */
  readonly memoryBytes?: number;
  /** Most units in a batch. Integer from 1. @defaultValue 1 */
  readonly maxBatch?: number;
  /** Most requests that wait for it. Integer from 0. @defaultValue as many as may wait */
  readonly queueLimit?: number;
  /**
   * The simple mode: a batch starts when it is full, or when its oldest has waited this long. Without it the size of a
   * batch, and how long it may fill, follow from the deadlines.
   */
  readonly maxDelayMs?: number | undefined;
  /** What is known of its times before it has run here. They are measured from the first batch on. */
  readonly times?: BatchTimes | undefined;
  /** The same by type of device, where it is known for each. */
  readonly timesByType?: Readonly<Record<string, BatchTimes>> | undefined;
  /** How long it takes to load, in milliseconds; measured from the first load on. @defaultValue 1_000 */
  readonly loadMs?: number;
}

export interface SchedulerOptions {
  /** Every model that may be asked for. */
  readonly models: readonly ScheduledModel[];
  /** Most requests that wait. */
  readonly queueLimit: number;
  /**
   * A request that has waited this long goes like one of the next higher priority, and before those of its own that
   * came later, whatever their deadlines: nothing waits for ever. In milliseconds. @defaultValue 30_000
   */
  readonly agingMs?: number;
  /**
   * The share of the device time that a tenant is due, relative to others. From 0.000001 to 1_000_000. Asked when a
   * tenant comes; what it throws, or answers beyond these, drops the request. @defaultValue 1 for each
   */
  readonly weightOf?: (tenant: string) => number;
  /** Most of the queue that one tenant may fill, from 0 to 1. @defaultValue 1 */
  readonly tenantShare?: number;
}

/** Something that has happened. */
export type SchedulerEvent<Request extends ScheduledRequest> =
  | { readonly type: "request"; readonly request: Request }
  /** Its caller wants a request back. */
  | { readonly type: "cancel"; readonly id: number }
  /** A running request has ended, well or not. Its batch has ended with the last of them. */
  | { readonly type: "done"; readonly id: number }
  /** All of a batch that still ran has ended. */
  | { readonly type: "batch-done"; readonly batch: number }
  /** The device had too little memory for a batch: nothing of it has run. */
  | { readonly type: "out-of-memory"; readonly batch: number }
  /** It takes requests. It has these models loaded; all of them when nothing is said. */
  | { readonly type: "device-up"; readonly device: Device; readonly loaded?: readonly string[] }
  /** It is gone, and with it what it ran and what it held. */
  | { readonly type: "device-down"; readonly device: string }
  /** It takes no more batches and no more models; what it runs may end. */
  | { readonly type: "device-drain"; readonly device: string }
  /**
   * So much was measured to be free on a device after the last load and unload that was told of. What of it is not free,
   * and not taken by the models that it holds, others take: so it is until the next measurement, which may say less. A
   * load or an unload that is under way may have moved any part of its memory, so it is not counted twice.
   */
  | { readonly type: "memory"; readonly device: string; readonly freeBytes: number }
  | { readonly type: "loaded"; readonly device: string; readonly model: string }
  | { readonly type: "load-failed"; readonly device: string; readonly model: string }
  | { readonly type: "unloaded"; readonly device: string; readonly model: string }
  /** Somebody wants to hold a model on a device: it is not evicted before the `release`. */
  | { readonly type: "acquire"; readonly lease: number; readonly model: string }
  | { readonly type: "release"; readonly lease: number }
  /** One more model may be asked for. */
  | { readonly type: "model-added"; readonly model: ScheduledModel }
  /**
   * A model is to be unloaded everywhere once nothing refers to it: no request that waits or runs, no lease. One that is
   * forgotten then is not asked for any more.
   */
  | { readonly type: "model-leaves"; readonly model: string; readonly isForgotten: boolean }
  /** The moment that `nextWake` named has come. */
  | { readonly type: "timer" };

/**
 * Why a waiting request is out. `"deadline"`: it cannot end in time any more, or only at the price of several others.
 * `"unloadable"`: its model could not be loaded anywhere. `"invalid"`: its tenant has no weight.
 */
export type DropReason = "cancelled" | "deadline" | "unloadable" | "invalid";

/** Which limit a request is refused by. */
export type QueueLimit = "pool" | "tenant" | "model";

/** What is to be done now. */
export type SchedulerCommand<Request extends ScheduledRequest> =
  | {
      readonly type: "run";
      readonly batch: number;
      readonly device: string;
      readonly model: string;
      readonly requests: readonly Request[];
    }
  /** Refused: too many wait. */
  | {
      readonly type: "refuse";
      readonly request: Request;
      /** The limit that is met: of the pool, of the tenant's part of it, or of the model. */
      readonly limit: QueueLimit;
      /** How many wait, of those that it limits. */
      readonly waiting: number;
      readonly retryAfterMs: number;
    }
  | {
      readonly type: "drop";
      readonly request: Request;
      readonly why: DropReason;
      /** What is wrong with one that is `"invalid"`. */
      readonly cause?: unknown;
    }
  /** A running request is to stop; it keeps its place until it is `done`. */
  | {
      readonly type: "stop";
      readonly request: Request;
      readonly device: string;
      readonly why: "cancelled" | "deadline";
    }
  /** The device that ran a request has gone down, or had too little memory for it alone, and it is not tried again. */
  | {
      readonly type: "lost";
      readonly request: Request;
      readonly device: string;
      readonly why: "device-down" | "out-of-memory";
    }
  | { readonly type: "load"; readonly device: string; readonly model: string }
  | { readonly type: "unload"; readonly device: string; readonly model: string }
  /** A lease is granted: the model stays loaded on the device until it is released. */
  | { readonly type: "granted"; readonly lease: number; readonly device: string }
  /** A lease is not granted: the model could not be loaded on any device. */
  | { readonly type: "denied"; readonly lease: number }
  /** A model that was to leave is on no device any more. */
  | { readonly type: "gone"; readonly model: string }
  /** The device under a lease has gone down. */
  | { readonly type: "revoked"; readonly lease: number; readonly device: string };

/** What drives devices: ours, and those it is compared with. Deterministic: the same events, the same commands. */
export interface EventScheduler<Request extends ScheduledRequest> {
  /** The next moment at which a `timer` event is due; `Infinity` when there is none. */
  readonly nextWake: number;
  /** Takes in what has happened and answers what is to be done, in order. `now` never runs backwards. */
  handle(event: SchedulerEvent<Request>, now: number): readonly SchedulerCommand<Request>[];
}
