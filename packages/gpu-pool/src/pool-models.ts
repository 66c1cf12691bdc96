// Which models a pool has, and how they come and go while it works.
import type { OptionReader } from "@holdfast/core";
import { optionsOf } from "@holdfast/core";
import type { Device } from "./device.ts";
import { checkFits } from "./devices-of.ts";
import { UnknownModelError } from "./errors.ts";
import type { Model, ModelOptions } from "./model.ts";
import { definedModel, ModelList } from "./model-list.ts";

/** What the scheduler is told. */
export type ModelNews =
  | { readonly type: "model-added"; readonly model: Model }
  | { readonly type: "model-leaves"; readonly model: string; readonly isForgotten: boolean };

export class PoolModels {
  readonly list: ModelList;
  /** Who waits for a model to be on no device any more. */
  readonly #onGone = new Map<string, (() => void)[]>();
  #places: readonly Device[] = [];
  #isClosed = false;

  constructor(
    models: readonly (Model | ModelOptions)[] | undefined,
    private readonly tell: (news: ModelNews) => void,
  ) {
    this.list = new ModelList(models);
  }

  /** Says what models have to fit into one of. */
  fitInto(places: readonly Device[], check: OptionReader): void {
    this.#places = places;
    for (const model of this.list.all) checkFits(model, places, check);
  }

  add(options: Model | ModelOptions): Model {
    const model = definedModel(options);
    const check = optionsOf("addModel");
    if (this.list.get(model.key) !== undefined || this.list.find(model.key) !== undefined)
      check.refuse(
        "model",
        model.key,
        "a name that is free: no model's, nor one's on its way out, nor an alias",
      );
    checkFits(model, this.#places, check);
    this.list.add(model);
    this.tell({ type: "model-added", model });
    return model;
  }

  async remove(key: string): Promise<void> {
    const model = this.list.get(key);
    if (model === undefined) throw new UnknownModelError(key);
    this.list.leave(model);
    await this.#leaves(key, true);
  }

  async unload(key: string): Promise<void> {
    if (this.list.get(key) === undefined) throw new UnknownModelError(key);
    await this.#leaves(key, false);
  }

  setAlias(alias: string, key: string | undefined): void {
    const check = optionsOf("setAlias");
    if (!/^[\w.-]{1,100}@[\w.-]{1,100}$/.test(alias)) check.refuse("alias", alias, "name@label");
    if (this.list.get(alias) !== undefined) check.refuse("alias", alias, "a name that is no model's");
    const model = key === undefined ? undefined : this.list.find(key);
    if (key !== undefined && model === undefined) throw new UnknownModelError(key);
    this.list.setAlias(alias, model?.key);
  }

  /** It is on no device any more. */
  gone(key: string): void {
    this.list.gone(key);
    const waiting = this.#onGone.get(key);
    this.#onGone.delete(key);
    for (const tell of waiting ?? []) tell();
  }

  /** There are no devices any more. */
  close(): void {
    this.#isClosed = true;
    for (const key of this.#onGone.keys()) this.gone(key);
  }

  async #leaves(model: string, isForgotten: boolean): Promise<void> {
    if (this.#isClosed) return;
    const gone = new Promise<void>((resolve) => {
      const waiting = this.#onGone.get(model) ?? [];
      this.#onGone.set(model, waiting);
      waiting.push(resolve);
    });
    this.tell({ type: "model-leaves", model, isForgotten });
    await gone;
  }
}
