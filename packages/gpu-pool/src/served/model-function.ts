// What a worker thread serves: functions, or objects that load before they run.

/** What a model is told about its run. */
export interface ModelContext {
  /** `name@version`. */
  readonly model: string;
  /** Aborts when the request is cancelled or its deadline passes. */
  readonly signal: AbortSignal;
  /** Reports anything that can be cloned, as often as one likes: at most 20 a second go out, the latest of them. */
  readonly progress: (value: unknown) => void;
  /**
   * Lets messages in, such as a cancel, and throws if the request was cancelled. Long computations call it every few
   * milliseconds; without it a cancelled thread can only be ended.
   */
  readonly checkpoint: () => Promise<void>;
}

/** A model: a function that may take long. */
export type ModelFunction = (input: never, context: ModelContext) => unknown;

/** What a model is told about a run of several requests. */
export interface BatchContext {
  /** `name@version`. */
  readonly model: string;
  /** One for each input: aborts when that request is cancelled or its deadline passes. */
  readonly signals: readonly AbortSignal[];
  /** Reports for the request of an index. */
  readonly progress: (index: number, value: unknown) => void;
  /** Lets messages in, and throws if every request was cancelled. */
  readonly checkpoint: () => Promise<void>;
}

/**
 * A model that takes several requests at once: an output for each input, or an `Error` for one that failed. What it
 * throws fails nobody yet: each is tried by itself, so that a bad one fails alone. If that is for want of memory, the
 * pool is told, and makes smaller batches.
 */
export type BatchFunction = (inputs: never, context: BatchContext) => unknown;

/** A model that is made ready before it runs, and put away after. */
export interface LoadableModel {
  /** Before the first run: reads weights, warms up. What it throws keeps the device from coming up. */
  readonly load?: () => unknown;
  /** Runs a request. Not needed beside `runBatch`. */
  readonly run?: ModelFunction;
  /** Runs several at once. Without it, those of a batch run one after another. */
  readonly runBatch?: BatchFunction;
  /** Frees what `load` took. */
  readonly unload?: () => unknown;
}

/** What a worker can say of its device. */
export interface ServeOptions {
  /**
   * Measures how much of the device's memory is free, in bytes; `undefined` where that is not known now. Asked at each
   * sign of life, which does not wait for it, and after loads and unloads; never twice at a time. What is missing beside
   * the models of the pool is taken to be others', until it is free again. What it throws tells nothing.
   * @defaultValue nothing is measured: the memory that a device was given is the pool's alone
   */
  readonly freeMemory?: () => number | undefined | Promise<number | undefined>;
}

/** Served models, by `name` for every version, or by `name@version` for one. */
export type ServedModels = Readonly<Record<string, ModelFunction | LoadableModel>>;
