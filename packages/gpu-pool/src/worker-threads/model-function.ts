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

/** A model that is made ready before it runs, and put away after. */
export interface LoadableModel {
  /** Before the first run: reads weights, warms up. What it throws keeps the device from coming up. */
  readonly load?: () => unknown;
  readonly run: ModelFunction;
  /** Frees what `load` took. */
  readonly unload?: () => unknown;
}

/** Served models, by `name` for every version, or by `name@version` for one. */
export type ServedModels = Readonly<Record<string, ModelFunction | LoadableModel>>;
