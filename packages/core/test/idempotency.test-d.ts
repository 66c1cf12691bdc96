import type { Idempotent, IdempotencyStore, Middleware } from "@holdfast/core";
import { idempotency, idempotencyKey, memoryIdempotencyStore } from "@holdfast/core";
import { describe, expectTypeOf, it } from "vitest";

interface Tx {
  readonly query: (text: string) => Promise<void>;
}

describe("types of idempotency", () => {
  it("answers what the operation answers, awaited", () => {
    const keys = idempotency({ store: memoryIdempotencyStore(), scope: "s" });
    expectTypeOf(keys.run({ key: "k" }, () => 5)).resolves.toEqualTypeOf<Idempotent<number>>();
    expectTypeOf(keys.run({ key: "k" }, async () => "x")).resolves.toEqualTypeOf<Idempotent<string>>();
  });

  it("takes the transactions that the store takes, and no others", () => {
    const store = memoryIdempotencyStore() as IdempotencyStore<Tx>;
    const keys = idempotency({ store, scope: "s" });
    const tx: Tx = { query: async () => {} };
    void keys.run({ key: "k", tx }, ({ checkpoint }) => checkpoint("p", 1, { tx }));
    // @ts-expect-error -- not a transaction of this store
    void keys.run({ key: "k", tx: 5 }, () => {});
    const plain = idempotency({ store: memoryIdempotencyStore(), scope: "s" });
    // @ts-expect-error -- memory has no transactions
    void plain.run({ key: "k", tx }, () => {});
  });

  it("wants a store and a scope", () => {
    // @ts-expect-error -- without a scope
    idempotency({ store: memoryIdempotencyStore() });
    // @ts-expect-error -- without a store
    idempotency({ scope: "s" });
    expectTypeOf(idempotencyKey({ store: memoryIdempotencyStore(), scope: "s" })).toEqualTypeOf<Middleware>();
  });
});
