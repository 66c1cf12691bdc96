// What the scheduler keeps of requests, tenants, models, devices and batches.
import type { Device } from "../device.ts";
import type { BatchProfile } from "./batch-profile.ts";
import { BitSet } from "./bit-set.ts";
import type { ScheduledModel, ScheduledRequest } from "./contract.ts";
import { DecayedRate } from "./decayed-rate.ts";
import type { Queued } from "./mixed-queue.ts";
import { ModelQueue } from "./model-queue.ts";
import type { TenantLedger } from "./tenants.ts";

/** A request that waits or runs. */
export interface Entry<Request extends ScheduledRequest> extends Queued {
  readonly request: Request;
  readonly arrivedAt: number;
  readonly model: ModelState<Request>;
  batch: RunningBatch<Request> | undefined;
  /** Told to stop. */
  stopped: boolean;
  /** It was in a batch that took its worker or its memory down: it runs alone, once more. */
  alone: boolean;
}

export interface ModelState<Request extends ScheduledRequest> {
  readonly index: number;
  readonly spec: ScheduledModel;
  readonly maxBatch: number;
  readonly maxDelayMs: number | undefined;
  /** Most requests that wait for it. */
  readonly queueLimit: number;
  readonly memoryBytes: number;
  readonly queue: ModelQueue<Entry<Request>>;
  /** By kind of device. */
  readonly profiles: Map<string, BatchProfile>;
  /** The one of these that was last asked for. */
  lastType: string;
  lastProfile: BatchProfile | undefined;
  /** The least time that a request may need on any device. */
  leastMs: number;
  /** Most units that fit into the memory of a kind of device, where that was found out. */
  caps: Map<string, { units: number; good: number }> | undefined;
  /** Devices that have it loaded. */
  readonly replicas: BitSet;
  /** How many of these are of each type. */
  readonly replicaKinds: Map<string, number>;
  readonly rate: DecayedRate;
  /** Batches that were started, and requests in them. */
  batches: number;
  batched: number;
  /** Requests that wait or run. */
  held: number;
  /** Mean device milliseconds a request takes. */
  meanMs: number;
  /** How long its requests may take, as of late; 0 while none had a deadline. */
  sloMs: number;
  /** Devices that load it, or are about to. */
  coming: number;
  /** How long a load takes, and how many were measured. */
  loadMs: number;
  loads: number;
  failedLoads: number;
  /** When more replicas are thought about again. */
  nextLookAt: number;
  /** When it is due while it waits for a batch to fill. */
  wakeAt: number;
  /** What it goes by while it waits for a device: the level and the latest start of its head, and its order. */
  readyLevel: number;
  readyBy: number;
  readyOrder: number;
  /** Leases that wait for it to be loaded. */
  readonly wantedBy: Set<number>;
}

/** One model's place on one device. Another one when something about it changes. */
export interface Held {
  /** `planned`: what is in its way is being unloaded. `leaving`: it is, once its batches there have ended. */
  readonly state: "planned" | "loading" | "resident" | "leaving" | "unloading";
  /** That were granted here. Whether a batch runs is seen by the device's: to count these cost a look at every end. */
  readonly leases: number;
  /** When this state began. */
  readonly since: number;
}

export interface DeviceState<Request extends ScheduledRequest> {
  readonly index: number;
  readonly id: string;
  readonly kind: string;
  readonly cost: number;
  readonly capacity: number;
  /** Those that run. */
  readonly batches: RunningBatch<Request>[];
  readonly resident: BitSet;
  readonly holds: Map<number, Held>;
  readonly memoryBytes: number;
  /** What of it is not others'. */
  roomBytes: number;
  /** Reserved for loads from the moment they are decided on, and given back when an unload has ended. */
  freeBytes: number;
  isDraining: boolean;
  /** Models that wait for memory here, first come first. */
  readonly planned: ModelState<Request>[];
  /** Models that did not load here, and when they may be tried again. */
  readonly cooling: Map<number, number>;
}

export interface RunningBatch<Request extends ScheduledRequest> {
  readonly id: number;
  /** Its number in heaps of batches, which it alone has while it runs. */
  readonly slot: number;
  readonly device: DeviceState<Request>;
  readonly model: ModelState<Request>;
  readonly units: number;
  readonly startedAt: number;
  readonly endsAt: number;
  readonly entries: readonly Entry<Request>[];
  /** How many of these still run: those whose `batch` this is. */
  open: number;
  /** The first deadline of what is left. */
  stopsAt: number;
  /** One of it was told to stop: how long it takes says nothing about its model. */
  isDisturbed: boolean;
}

export function newModel<Request extends ScheduledRequest>(
  spec: ScheduledModel,
  index: number,
  ledger: TenantLedger,
): ModelState<Request> {
  return {
    index,
    spec,
    maxBatch: spec.maxBatch ?? 1,
    maxDelayMs: spec.maxDelayMs,
    queueLimit: spec.queueLimit ?? Infinity,
    memoryBytes: spec.memoryBytes ?? 0,
    queue: new ModelQueue(ledger),
    profiles: new Map(),
    lastType: "",
    lastProfile: undefined,
    leastMs: 0,
    caps: undefined,
    replicas: new BitSet(),
    replicaKinds: new Map(),
    rate: new DecayedRate(),
    batches: 0,
    batched: 0,
    held: 0,
    meanMs: 0,
    sloMs: 0,
    coming: 0,
    loadMs: spec.loadMs ?? 1_000,
    loads: 0,
    failedLoads: 0,
    nextLookAt: 0,
    wakeAt: 0,
    readyLevel: 0,
    readyBy: 0,
    readyOrder: 0,
    wantedBy: new Set(),
  };
}

export function newDevice<Request extends ScheduledRequest>(
  device: Device,
  index: number,
): DeviceState<Request> {
  return {
    index,
    id: device.id,
    kind: device.type ?? "",
    cost: device.cost ?? 0,
    capacity: device.capacity,
    batches: [],
    resident: new BitSet(),
    holds: new Map(),
    memoryBytes: device.memoryBytes ?? Infinity,
    roomBytes: device.memoryBytes ?? Infinity,
    freeBytes: device.memoryBytes ?? Infinity,
    isDraining: false,
    planned: [],
    cooling: new Map(),
  };
}
