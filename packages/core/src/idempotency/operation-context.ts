// What an operation that runs under a key is told.
import { optionsOf } from "../options.ts";
import type { AbortScope } from "../policies/abort-scope.ts";
import type { IdempotentContext } from "./contract.ts";
import type { HeldKey } from "./held-key.ts";
import type { BeginOutcome, KeyRef } from "./store.ts";

export class OperationContext<Tx> implements IdempotentContext<Tx> {
  readonly key: string;
  readonly scope: string;
  readonly fence: number;
  readonly doubt: boolean;
  readonly point?: { readonly name: string; readonly data: unknown };
  readonly #abort: AbortScope;
  readonly #held: HeldKey<Tx> | undefined;
  readonly #maxLength: number;

  constructor(
    ref: KeyRef,
    begun: (BeginOutcome & { readonly kind: "acquired" }) | { readonly kind: "unprotected" },
    abort: AbortScope,
    held: HeldKey<Tx> | undefined,
    maxLength: number,
  ) {
    this.key = ref.key;
    this.scope = ref.scope;
    this.fence = begun.kind === "acquired" ? begun.fence : 0;
    this.doubt = begun.kind === "acquired" && begun.doubt;
    if (begun.kind === "acquired" && begun.point !== undefined)
      this.point = { name: begun.point.name, data: JSON.parse(begun.point.data) as unknown };
    this.#abort = abort;
    this.#held = held;
    this.#maxLength = maxLength;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get aborted(): boolean {
    return this.#abort.aborted;
  }

  readonly throwIfAborted = (): void => {
    if (this.#abort.aborted) throw this.#abort.reason;
  };

  readonly checkpoint = async (
    name: string,
    data: unknown = null,
    { tx }: { readonly tx?: Tx } = {},
  ): Promise<void> => {
    const check = optionsOf("checkpoint");
    check.string("name", name);
    this.throwIfAborted();
    const text = jsonOf(data) ?? check.refuse("data", data, "something that can be written as JSON");
    if (text.length > this.#maxLength)
      check.refuse("data", text.length, `at most ${this.#maxLength} characters of JSON`);
    await this.#held?.checkpoint({ name, data: text }, tx);
  };
}

function jsonOf(data: unknown): string | undefined {
  try {
    return JSON.stringify(data) as string | undefined;
  } catch {
    return undefined;
  }
}
