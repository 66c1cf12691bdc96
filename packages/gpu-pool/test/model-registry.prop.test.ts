import type { ModelStore } from "@holdfast/gpu-pool";
import { memoryModelStore, modelRegistry } from "@holdfast/gpu-pool";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { batches, isExplained } from "./fixtures/registry-linearizable.ts";
import { MOST_MODELS } from "./fixtures/registry-model.ts";

/** @param history - Short, so that those who watch are told all anew at times. */
const open = (store: ModelStore = memoryModelStore({ history: 3 })) =>
  modelRegistry({ store, maxModels: MOST_MODELS });

describe("modelRegistry", () => {
  it("answers callers at a time as if they had come one after the other, and those who watch know what there is", () =>
    fc.assert(
      fc.asyncProperty(batches, (all) => isExplained([open()], all)),
      { numRuns: 300 },
    ));

  it("is not explained where guards are looked at too early", async () => {
    const careless = (): ModelStore => {
      const store = memoryModelStore();
      const change: ModelStore["change"] = async (command, options) => {
        if (command.type !== "move" || command.ifRevision === undefined)
          return store.change(command, options);
        const known = await store.findAlias(command.alias);
        await Promise.resolve();
        return (known?.revision ?? 0) === command.ifRevision
          ? store.change({ ...command, ifRevision: undefined }, options)
          : { verdict: "stale", alias: known };
      };
      return new Proxy(store, {
        get: (target, name) => {
          if (name === "change") return change;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
    };
    const result = await fc.check(
      fc.asyncProperty(batches, (all) => isExplained([open(careless())], all)),
      { numRuns: 2_000, seed: 1 },
    );
    expect(result.failed).toBe(true);
  });
});
