// The models of a pool: those it was made with, those that came later, and the names that mean them.
import { optionsOf } from "@holdfast/core";
import type { Model, ModelOptions } from "./model.ts";
import { defineModel } from "./model.ts";

export class ModelList {
  readonly #byKey = new Map<string, Model>();
  /** On their way out: not to be found any more, and not gone yet. */
  readonly #leaving = new Map<string, Model>();
  /** Other names, each for a key. */
  readonly #aliases = new Map<string, string>();
  readonly #preloaded = new Set<Model>();

  /** @throws InvalidOptionError when there are none, or a model is there twice. */
  constructor(models: readonly (Model | ModelOptions)[] | undefined) {
    const check = optionsOf("gpuPool");
    if (models?.length === 0) check.refuse("models", models, "at least one model, unless all come later");
    for (const one of models ?? []) {
      const model = definedModel(one);
      if (this.#byKey.has(model.key)) check.refuse("models", model.key, "each model and version once");
      this.add(model);
      this.#preloaded.add(model);
      // By name alone: the version listed last.
      this.#aliases.set(model.name, model.key);
    }
  }

  get all(): readonly Model[] {
    return [...this.#byKey.values()];
  }

  /** Those that a device loads at its start, as far as they fit. */
  get preloaded(): readonly Model[] {
    return [...this.#preloaded];
  }

  /** By key, alias, or name alone. */
  find(asked: string): Model | undefined {
    return this.#byKey.get(this.#aliases.get(asked) ?? asked);
  }

  /** By key, also one that leaves. */
  get(key: string): Model | undefined {
    return this.#byKey.get(key) ?? this.#leaving.get(key);
  }

  /** One that comes later does not change what its name alone means, if that means something. */
  add(model: Model): void {
    this.#byKey.set(model.key, model);
    if (this.find(model.name) === undefined) this.#aliases.set(model.name, model.key);
  }

  /** It is found no more, nor are the names that mean it; its name alone means the version that is left and came last. */
  leave(model: Model): void {
    this.#byKey.delete(model.key);
    this.#preloaded.delete(model);
    this.#leaving.set(model.key, model);
    for (const [alias, key] of this.#aliases) if (key === model.key) this.#aliases.delete(alias);
    const left = this.all.findLast(({ name }) => name === model.name);
    if (left !== undefined && this.find(model.name) === undefined) this.#aliases.set(model.name, left.key);
  }

  gone(key: string): void {
    this.#leaving.delete(key);
  }

  setAlias(alias: string, key: string | undefined): void {
    if (key === undefined) this.#aliases.delete(alias);
    else this.#aliases.set(alias, key);
  }
}

export function definedModel(model: Model | ModelOptions): Model {
  return "key" in model ? model : defineModel(model);
}
