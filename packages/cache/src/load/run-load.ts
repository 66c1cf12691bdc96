// One run of a loader: under the cache's policy, with a time after which it is given up, told about when it ends.
import { asError, channel, TimeoutError } from "@holdfast/core";
import type { Cacheable, CacheKey, CacheLoadEvent, CacheOptions, LoadContext } from "../contract.ts";
import type { CacheSettings } from "../settings.ts";

/** A run, and how to give it up. */
export interface LoadRun<Result> {
  readonly promise: Promise<Result>;
  /** Rejects for all who wait, and aborts the loader's signal. */
  readonly abandon: (reason: Error) => void;
}

/** What becomes of what the loader has brought, and what to say of it. */
export interface Landed<Result> {
  readonly result: Result;
  readonly outcome: "kept" | "none" | "dropped";
}

export interface LoadRequest<Key, Value, Result> {
  readonly key: Key;
  readonly reason: LoadContext<Value>["reason"];
  readonly previous: Value | undefined;
  readonly land: (value: Value | undefined, loadMs: number) => Landed<Result> | PromiseLike<Landed<Result>>;
  /** Before anybody is told, however it ends. */
  readonly ended: (outcome: CacheLoadEvent["outcome"]) => void;
}

const loadEnded = /* @__PURE__ */ channel<CacheLoadEvent>("cache", "load");

/** The loaders of one cache, and how many have run. */
export class Loader<Key extends CacheKey, Value extends Cacheable> {
  #begun = 0;
  #failed = 0;

  constructor(
    private readonly options: CacheOptions<Key, Value>,
    private readonly settings: CacheSettings<Key, Value>,
  ) {}

  get counts(): { readonly loads: number; readonly loadFailures: number } {
    return { loads: this.#begun, loadFailures: this.#failed };
  }

  run<Result>({ key, reason, previous, land, ended }: LoadRequest<Key, Value, Result>): LoadRun<Result> {
    const { clock, abandonAfterMs, name } = this.settings;
    const startedAt = clock.monotonic();
    const controller = new AbortController();
    const { promise, resolve, reject } = deferred<Result>();
    let isOver = false;
    const end = (outcome: CacheLoadEvent["outcome"], error?: Error): void => {
      isOver = true;
      timer.cancel();
      if (error !== undefined) this.#failed += 1;
      ended(outcome);
      this.#tell(reason, outcome, clock.monotonic() - startedAt, error);
    };
    const abandon = (error: Error): void => {
      if (isOver) return;
      end("abandoned", error);
      controller.abort(error);
      reject(error);
    };
    const loaded = async (value: Value | undefined): Promise<void> => {
      if (isOver) return;
      const landing = land(value, clock.monotonic() - startedAt);
      const { result, outcome } = isThenable(landing) ? await landing : landing;
      if (isOver) return;
      end(outcome);
      resolve(result);
    };
    const failed = (thrown: unknown): void => {
      if (isOver) return;
      const error = asError(thrown);
      end("failed", error);
      reject(error);
    };
    const timer = clock.setTimer(abandonAfterMs, () =>
      abandon(new TimeoutError(`${name}: a load`, abandonAfterMs)),
    );
    // Those who wait are told; there may be nobody.
    promise.catch(() => {});
    this.#begun += 1;
    this.#call(key, { signal: controller.signal, previous, reason }).then(loaded).catch(failed);
    return { promise, abandon };
  }

  /** Async, so that what the loader throws at once rejects. */
  async #call(key: Key, context: LoadContext<Value>): Promise<Value | undefined> {
    const { load, policy } = this.options;
    if (policy === undefined) return load?.(key, context);
    return policy.run(() => load?.(key, context), { signal: context.signal });
  }

  #tell(
    reason: CacheLoadEvent["reason"],
    outcome: CacheLoadEvent["outcome"],
    durationMs: number,
    error: Error | undefined,
  ): void {
    if (!loadEnded.hasSubscribers) return;
    const { name } = this.settings;
    loadEnded.publish({
      cache: name,
      reason,
      outcome,
      durationMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T>).then === "function";
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
