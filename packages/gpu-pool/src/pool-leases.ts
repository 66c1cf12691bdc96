// Leases on loaded models, as callers hold them.
import type { Clock } from "@holdfast/core";
import { ClosedError, MAX_DURATION_MS } from "@holdfast/core";
import type { ModelLease } from "./contract.ts";
import { ModelUnavailableError } from "./errors.ts";

interface Wanted {
  readonly model: string;
  readonly grant: (device: string) => void;
  readonly reject: (reason: unknown) => void;
}

export class PoolLeases {
  readonly #wanted = new Map<number, Wanted>();
  readonly #held = new Map<number, AbortController>();
  #next = 1;

  constructor(
    private readonly clock: Clock,
    /** Tells the scheduler. */
    private readonly tell: (
      event:
        | { readonly type: "acquire"; readonly lease: number; readonly model: string }
        | { readonly type: "release"; readonly lease: number },
    ) => void,
  ) {}

  /** Waits until a device has the model loaded. */
  acquire(model: string, signal: AbortSignal | undefined): Promise<ModelLease> {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      const hold = this.clock.setTimer(MAX_DURATION_MS, () => {}, { keepAlive: true });
      const leave = (): void => {
        hold.cancel();
        this.#wanted.delete(id);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = (): void => {
        leave();
        this.tell({ type: "release", lease: id });
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#wanted.set(id, {
        model,
        grant: (device) => {
          leave();
          resolve(this.#lease(id, model, device));
        },
        reject: (reason) => {
          leave();
          reject(reason as Error);
        },
      });
      this.tell({ type: "acquire", lease: id, model });
    });
  }

  granted(id: number, device: string): void {
    this.#wanted.get(id)?.grant(device);
  }

  denied(id: number): void {
    const wanted = this.#wanted.get(id);
    wanted?.reject(new ModelUnavailableError(wanted.model));
  }

  /** The device is gone, and the model with it. */
  revoked(id: number, device: string): void {
    this.#held.get(id)?.abort(new ClosedError(`device "${device}"`));
    this.#held.delete(id);
  }

  /** Nobody gets one any more. */
  close(reason: Error): void {
    for (const { reject } of this.#wanted.values()) reject(reason);
  }

  #lease(id: number, model: string, device: string): ModelLease {
    const lost = new AbortController();
    this.#held.set(id, lost);
    const release = (): void => {
      if (this.#held.delete(id)) this.tell({ type: "release", lease: id });
    };
    return { model, device, lost: lost.signal, release, [Symbol.dispose]: release };
  }
}
