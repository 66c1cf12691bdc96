// The models of a pool: those it was made with, and those that came later.
import { optionsOf } from "@holdfast/core";
import type { Model, ModelOptions } from "./model.ts";
import { defineModel } from "./model.ts";

export class ModelList {
  readonly #byKey = new Map<string, Model>();
  /** Other names, each for a key. */
  readonly #aliases = new Map<string, string>();

  /** @throws InvalidOptionError when a model is there twice. */
  constructor(models: readonly (Model | ModelOptions)[]) {
    const check = optionsOf("gpuPool");
    if (!Array.isArray(models)) check.refuse("models", models, "a list of models");
    for (const one of models) {
      const model = definedModel(one);
      if (this.#byKey.has(model.key)) check.refuse("models", model.key, "each model and version once");
      this.add(model);
      // By name alone: the version listed last.
      this.#aliases.set(model.name, model.key);
    }
  }

  get all(): readonly Model[] {
    return [...this.#byKey.values()];
  }

  /** By key, alias, or name alone. */
  find(asked: string): Model | undefined {
    return this.#byKey.get(this.#aliases.get(asked) ?? asked);
  }

  /** One that comes later does not change what a name alone means, if that means something. */
  add(model: Model): void {
    this.#byKey.set(model.key, model);
    if (this.find(model.name) === undefined) this.#aliases.set(model.name, model.key);
  }

  /** With all that means it; its name alone means the version that is left and came last. */
  remove(key: string): void {
    const model = this.#byKey.get(key);
    if (model === undefined) return;
    this.#byKey.delete(key);
    for (const [alias, target] of this.#aliases) if (target === key) this.#aliases.delete(alias);
    const left = this.all.findLast(({ name }) => name === model.name);
    if (left !== undefined && this.find(model.name) === undefined) this.#aliases.set(model.name, left.key);
  }

  setAlias(alias: string, key: string): void {
    this.#aliases.set(alias, key);
  }

  removeAlias(alias: string): void {
    this.#aliases.delete(alias);
  }
}

export function definedModel(model: Model | ModelOptions): Model {
  return "key" in model ? model : defineModel(model);
}
