// Runs an operation at most once for a key, and answers every further request with the first one's result.
import { asError, InvalidOptionError } from "../errors/errors.ts";
import { optionsOf } from "../options.ts";
import type { AbortScope } from "../policies/abort-scope.ts";
import { contextOf } from "../policies/context.ts";
import { channel } from "../telemetry/channel.ts";
import type {
  Idempotency,
  IdempotencyEvent,
  Idempotent,
  IdempotentCall,
  IdempotentContext,
} from "./contract.ts";
import { IdempotencyInFlightError, IdempotencyMismatchError, InDoubtError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { HeldKey } from "./held-key.ts";
import { OperationContext } from "./operation-context.ts";
import type { OperationFailure } from "./operation-failure.ts";
import type { IdempotencyOptions, IdempotencySettings } from "./options.ts";
import { settingsOf } from "./options.ts";
import type { BeginOutcome, KeyRef } from "./store.ts";
import { isStoreFailure, StoreCalls } from "./store-calls.ts";
import { decodeResult, encodeFailure, encodeValue } from "./stored-result.ts";

const stepTaken = /* @__PURE__ */ channel<IdempotencyEvent>("core", "idempotency");

/**
 * Makes operations safe to repeat: the first request under a key runs, every later one is answered with its result.
 * A crash in between leaves the key in doubt rather than running the operation twice.
 *
 * @throws InvalidOptionError when an option is out of range.
 *
 * @example
 * ```ts
 * import { idempotency, memoryIdempotencyStore } from "@holdfast/core";
 *
 * const orders = idempotency({ store: memoryIdempotencyStore(), scope: "orders" });
 * const place = (amount: number) =>
 *   orders.run({ key: "7b0c", body: { amount } }, () => ({ order: 1, amount }));
 * (await place(5)).value; // => { order: 1, amount: 5 }
 * (await place(5)).replayed; // => true
 * await place(6).catch((error) => error.code); // => "IDEMPOTENCY_MISMATCH"
 * ```
 */
export function idempotency<Tx = never>(options: IdempotencyOptions<Tx>): Idempotency<Tx> {
  return new KeyedOperations(settingsOf(options));
}

class KeyedOperations<Tx> implements Idempotency<Tx> {
  readonly #calls: StoreCalls;

  constructor(private readonly settings: IdempotencySettings<Tx>) {
    this.#calls = new StoreCalls(settings);
  }

  async run<T>(
    call: IdempotentCall<Tx>,
    operation: (context: IdempotentContext<Tx>) => T | PromiseLike<T>,
  ): Promise<Idempotent<Awaited<T>>> {
    const ref = this.#check(call);
    call.signal?.throwIfAborted();
    const fingerprint = await fingerprintOfCall(call.body);
    const askedAt = this.settings.clock.monotonic();
    const owner = crypto.randomUUID();
    const begun = await this.#begin(ref, owner, fingerprint, call.signal);
    if (call.signal?.aborted === true) {
      this.#takeBack(ref, owner);
      throw call.signal.reason;
    }
    switch (begun.kind) {
      case "replay":
        tell({ ...ref, step: "replayed" });
        return { value: decodeResult(ref, begun.result) as Awaited<T>, replayed: true, stored: true };
      case "mismatch":
        tell({ ...ref, step: "mismatch" });
        throw new IdempotencyMismatchError(ref);
      case "inFlight":
        tell({ ...ref, step: "in_flight" });
        throw new IdempotencyInFlightError(ref, begun.retryAfterMs);
      case "inDoubt":
        tell({ ...ref, step: "in_doubt" });
        throw new InDoubtError(ref, begun.fence);
      case "unprotected":
        tell({ ...ref, step: "unprotected" });
        break;
      case "acquired":
        tell({ ...ref, step: "acquired" });
    }
    const scope = contextOf({ signal: call.signal }).openScope();
    const held =
      begun.kind === "unprotected"
        ? undefined
        : new HeldKey(this.settings, this.#calls, { ...ref, fence: begun.fence }, scope, askedAt, (error) =>
            tell({ ...ref, step: "store_error", error }),
          );
    const context = new OperationContext(ref, begun, scope, held, this.settings.maxResultLength);
    const ended =
      held === undefined ? unprotected(operation, context) : this.#runHeld(held, operation, context, call);
    return untilAborted(scope, ended);
  }

  async #begin(
    ref: KeyRef,
    owner: string,
    fingerprint: string,
    signal: AbortSignal | undefined,
  ): Promise<BeginOutcome | { readonly kind: "unprotected" }> {
    const { store, lockMs, ttlMs, takeDoubtful, runUnprotected } = this.settings;
    const request = { ...ref, fingerprint, owner, lockTtlMs: lockMs, ttlMs, takeDoubtful };
    try {
      return await this.#calls.ask((asked) => store.begin(request, { signal: asked }), signal);
    } catch (error) {
      // It may have reached the store all the same.
      this.#takeBack(ref, owner);
      if (signal?.aborted === true || !isStoreFailure(error)) throw error;
      tell({ ...ref, step: "store_error", error: asError(error) });
      if (runUnprotected) return { kind: "unprotected" };
      throw error;
    }
  }

  /** Nobody waits for this: a store that is down stays down. */
  #takeBack(ref: KeyRef, owner: string): void {
    const { store } = this.settings;
    void this.#calls.askOnce((signal) => store.release(ref, owner, { signal })).catch(() => {});
  }

  async #runHeld<T>(
    held: HeldKey<Tx>,
    operation: (context: IdempotentContext<Tx>) => T | PromiseLike<T>,
    context: OperationContext<Tx>,
    { tx }: IdempotentCall<Tx>,
  ): Promise<Idempotent<Awaited<T>>> {
    held.keep();
    let value: Awaited<T>;
    try {
      value = await startOperation(operation, context);
    } catch (thrown) {
      held.rest();
      const recorded = this.#recordFailure(held, thrown, context.aborted);
      // What the transaction has locked can be written only once the caller has rolled it back.
      if (tx === undefined) await recorded;
      throw asError(thrown);
    }
    held.rest();
    return { value, replayed: false, stored: await this.#recordValue(held, value, tx) };
  }

  async #recordValue(held: HeldKey<Tx>, value: unknown, tx: Tx | undefined): Promise<boolean> {
    const { lease } = held;
    try {
      const outcome = await held.complete(encodeValue(value, this.settings.maxResultLength), tx);
      if (outcome === "ok") {
        tell({ ...refOf(lease), step: "completed" });
        return true;
      }
    } catch (thrown) {
      const error = asError(thrown);
      tell({ ...refOf(lease), step: "not_stored", error });
      // The caller must not commit effects whose record is missing.
      if (tx !== undefined) throw error;
      return false;
    }
    tell({ ...refOf(lease), step: "lost" });
    throw held.lose();
  }

  /** Never rejects: the operation's own error is what counts. */
  async #recordFailure(held: HeldKey<Tx>, thrown: unknown, aborted: boolean): Promise<void> {
    const ref = refOf(held.lease);
    const error = asError(thrown);
    try {
      const kind = this.#failureKind(thrown, aborted);
      const outcome =
        kind === "final"
          ? await held.complete(encodeFailure(thrown, this.settings.maxResultLength), undefined)
          : await held.fail(kind === "nothing");
      tell({ ...ref, step: outcome === "ok" ? "failed" : "lost", error });
    } catch (storeError) {
      tell({ ...ref, step: "store_error", error: asError(storeError) });
    }
  }

  #failureKind(thrown: unknown, aborted: boolean): OperationFailure {
    try {
      const kind = this.settings.onFailure(thrown, { aborted });
      return kind === "nothing" || kind === "final" ? kind : "unknown";
    } catch {
      return "unknown";
    }
  }

  #check({ key, scope, tx }: IdempotentCall<Tx>): KeyRef {
    const check = optionsOf("idempotency");
    const { store, scope: own } = this.settings;
    if (tx !== undefined && !store.traits.transactional)
      check.refuse("tx", tx, "left out: this store cannot write in a caller's transaction");
    return { scope: scope === undefined ? own : check.string("scope", scope), key: check.string("key", key) };
  }
}

async function unprotected<T, Tx>(
  operation: (context: IdempotentContext<Tx>) => T | PromiseLike<T>,
  context: IdempotentContext<Tx>,
): Promise<Idempotent<Awaited<T>>> {
  return { value: await startOperation(operation, context), replayed: false, stored: false };
}

async function startOperation<T, Tx>(
  operation: (context: IdempotentContext<Tx>) => T | PromiseLike<T>,
  context: IdempotentContext<Tx>,
): Promise<Awaited<T>> {
  return await operation(context);
}

/** Ends with the abort at once. What the operation comes to later is recorded, and surprises nobody. */
function untilAborted<T>(scope: AbortScope, ended: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    if (scope.aborted) reject(scope.reason as Error);
    else scope.onAbort((reason) => reject(reason as Error));
    ended.then(resolve, reject).finally(() => scope.release());
  });
}

async function fingerprintOfCall(body: unknown): Promise<string> {
  try {
    return await fingerprintOf(body);
  } catch {
    throw new InvalidOptionError("idempotency", "body", typeof body, "JSON, text or bytes");
  }
}

function refOf({ scope, key }: KeyRef): KeyRef {
  return { scope, key };
}

function tell(event: IdempotencyEvent): void {
  if (stepTaken.hasSubscribers) stepTaken.publish(event);
}
