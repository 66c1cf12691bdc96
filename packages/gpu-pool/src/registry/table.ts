// The rows of a registry and the rules by which they change: a state machine that is told the time.
import type { ModelState } from "./contract.ts";
import type {
  AliasRow,
  ModelRow,
  PageRequest,
  StoreAnswer,
  StoreChanges,
  StoreCommand,
  StoreVerdict,
} from "./store.ts";

/** All of a table; plain JSON. */
export interface TableContents {
  readonly revision: number;
  /** Up to here revisions were forgotten, this one excepted. */
  readonly cut: number;
  readonly models: readonly ModelRow[];
  readonly aliases: readonly AliasRow[];
  readonly history: readonly Touched[];
}

/** Which row a revision has changed. */
export type Touched = readonly [revision: number, kind: "model" | "alias", key: string];

export class RegistryTable {
  readonly #models = new Map<string, ModelRow>();
  readonly #aliases = new Map<string, AliasRow>();
  #history: Touched[] = [];
  #revision = 0;
  #cut = 0;

  /** @param most - Revisions that are remembered. */
  constructor(private readonly most: number) {}

  get revision(): number {
    return this.#revision;
  }

  get contents(): TableContents {
    return {
      revision: this.#revision,
      cut: this.#cut,
      models: [...this.#models.values()],
      aliases: [...this.#aliases.values()],
      history: this.#history,
    };
  }

  restore({ revision, cut, models, aliases, history }: TableContents): void {
    this.#revision = revision;
    this.#cut = cut;
    this.#history = [...history];
    this.#models.clear();
    this.#aliases.clear();
    for (const model of models) this.#models.set(model.key, model);
    for (const alias of aliases) this.#aliases.set(alias.alias, alias);
  }

  /** @param now - Milliseconds since 1970. */
  change(command: StoreCommand, now: number): StoreAnswer {
    switch (command.type) {
      case "register":
        return this.#register(command.key, command.content, command.most, now);
      case "state":
        return this.#setState(command.key, command.state, now);
      case "remove":
        return this.#remove(command.key, now);
      case "move":
        return this.#move(command, now);
      case "drop":
        return this.#drop(command.alias, command.ifRevision, now);
      case "profile":
        return this.#profile(command, now);
    }
  }

  find(asked: string): ModelRow | undefined {
    const alias = this.#aliases.get(asked);
    return this.#models.get(alias?.target ?? asked);
  }

  findAlias(alias: string): AliasRow | undefined {
    return this.#aliases.get(alias);
  }

  page({ name, after, limit }: PageRequest): readonly ModelRow[] {
    const keys = [...this.#models.keys()].filter((key) => key > after && isNamed(key, name));
    return keys
      .sort(byCharacter)
      .slice(0, limit)
      .map((key) => this.#models.get(key)!);
  }

  aliases(): readonly AliasRow[] {
    return [...this.#aliases.values()].sort((a, b) => byCharacter(a.alias, b.alias));
  }

  changesAfter(after: number | undefined): StoreChanges {
    const revision = this.#revision;
    if (after === undefined || !this.#knows(after))
      return {
        revision,
        isReset: true,
        models: [...this.#models.values()],
        aliases: [...this.#aliases.values()],
        removedModels: [],
        removedAliases: [],
      };
    const touched = this.#history.filter(([at]) => at > after);
    const keysOf = (kind: Touched[1]): readonly string[] => [
      ...new Set(touched.filter((one) => one[1] === kind).map(([, , key]) => key)),
    ];
    const [models, aliases] = [keysOf("model"), keysOf("alias")];
    return {
      revision,
      isReset: false,
      models: models.flatMap((key) => this.#models.get(key) ?? []),
      aliases: aliases.flatMap((alias) => this.#aliases.get(alias) ?? []),
      removedModels: models.filter((key) => !this.#models.has(key)),
      removedAliases: aliases.filter((alias) => !this.#aliases.has(alias)),
    };
  }

  #knows(revision: number): boolean {
    return revision === this.#cut || this.#history.some(([at]) => at === revision);
  }

  #register(key: string, content: string, most: number, now: number): StoreAnswer {
    const known = this.#models.get(key);
    if (known !== undefined)
      return { verdict: known.content === content ? "same" : "conflict", model: known };
    if (this.#aliases.has(key)) return { verdict: "taken" };
    if (this.#models.size >= most) return { verdict: "full" };
    return this.#putModel({ key, content, state: "available", revision: 0, profiles: {} }, now);
  }

  #setState(key: string, state: ModelState, now: number): StoreAnswer {
    const model = this.#models.get(key);
    if (model === undefined) return { verdict: "unknown" };
    if (model.state === state) return { verdict: "same", model };
    const usedBy = state === "available" ? [] : this.#usedBy(key);
    if (usedBy.length > 0) return { verdict: "in-use", model, usedBy };
    return this.#putModel({ ...model, state }, now);
  }

  #remove(key: string, now: number): StoreAnswer {
    const model = this.#models.get(key);
    if (model === undefined) return { verdict: "unknown" };
    const usedBy = this.#usedBy(key);
    if (usedBy.length > 0) return { verdict: "in-use", model, usedBy };
    this.#models.delete(key);
    this.#touch("model", key, now);
    return { verdict: "done" };
  }

  #move(command: StoreCommand & { readonly type: "move" }, now: number): StoreAnswer {
    const { alias, target, ifRevision, most } = command;
    const known = this.#aliases.get(alias);
    const refuse = (verdict: StoreVerdict): StoreAnswer => ({ verdict, alias: known, model });
    const model = this.#models.get(target);
    if (isStale(known, ifRevision)) return refuse("stale");
    if (this.#models.has(alias)) return refuse("taken");
    if (model === undefined) return refuse("unknown");
    if (model.state !== "available") return refuse("unavailable");
    if (known?.target === target) return refuse("same");
    if (known === undefined && this.#aliases.size >= most) return refuse("full");
    const revision = this.#touch("alias", alias, now);
    const moved = { alias, target, previous: known?.target, revision };
    this.#aliases.set(alias, moved);
    return { verdict: "done", alias: moved, model };
  }

  #drop(alias: string, ifRevision: number | undefined, now: number): StoreAnswer {
    const known = this.#aliases.get(alias);
    if (known === undefined) return { verdict: "unknown" };
    if (isStale(known, ifRevision)) return { verdict: "stale", alias: known };
    this.#aliases.delete(alias);
    this.#touch("alias", alias, now);
    return { verdict: "done" };
  }

  #profile(command: StoreCommand & { readonly type: "profile" }, now: number): StoreAnswer {
    const { key, deviceType, text, ifRevision, most } = command;
    const model = this.#models.get(key);
    if (model === undefined) return { verdict: "unknown" };
    const known = model.profiles[deviceType];
    if (isStale(known, ifRevision)) return { verdict: "stale", model };
    if (known?.text === text) return { verdict: "same", model };
    if (known === undefined && Object.keys(model.profiles).length >= most) return { verdict: "full", model };
    const revision = this.#nextRevision(now);
    return this.#putModel(
      { ...model, profiles: { ...model.profiles, [deviceType]: { text, revision } } },
      now,
    );
  }

  #usedBy(key: string): readonly string[] {
    return this.aliases()
      .filter(({ target }) => target === key)
      .map(({ alias }) => alias);
  }

  #putModel(row: ModelRow, now: number): StoreAnswer {
    const model = { ...row, revision: this.#touch("model", row.key, now) };
    this.#models.set(row.key, model);
    return { verdict: "done", model };
  }

  #touch(kind: Touched[1], key: string, now: number): number {
    this.#revision = this.#nextRevision(now);
    this.#history.push([this.#revision, kind, key]);
    if (this.#history.length > this.most) this.#cut = this.#history.shift()![0];
    return this.#revision;
  }

  #nextRevision(now: number): number {
    return Math.max(this.#revision + 1, Math.floor(now * 1_000));
  }
}

function isStale(row: { readonly revision: number } | undefined, ifRevision: number | undefined): boolean {
  return ifRevision !== undefined && ifRevision !== (row?.revision ?? 0);
}

function isNamed(key: string, name: string | undefined): boolean {
  return name === undefined || key.startsWith(`${name}@`);
}

function byCharacter(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
