// The suite is only as good as the faults it finds: each of these stores must fail it.
import type { ModelStore, StoreAnswer, StoreChanges, StoreCommand } from "@holdfast/gpu-pool";
import { memoryModelStore, modelRegistry } from "@holdfast/gpu-pool";
import { modelRegistryConformance } from "@holdfast/gpu-pool/testing";
import { describe, expect, it } from "vitest";

type Broken = (store: ModelStore) => Partial<ModelStore>;

/** Titles of the clauses that a registry over such a store does not keep. */
async function brokenClauses(broken: Broken): Promise<readonly string[]> {
  const tests: { readonly title: string; readonly body: () => Promise<void> }[] = [];
  modelRegistryConformance(
    { describe: (_, body) => body(), it: (title, body) => tests.push({ title, body }) },
    {
      patienceMs: 20,
      make: () => {
        const inner = memoryModelStore({ history: 12 });
        const store = bound(inner);
        return modelRegistry({ store: { ...store, ...broken(store) }, maxModels: 5, maxAliases: 4 });
      },
    },
  );
  const failed: string[] = [];
  await Promise.all(tests.map(({ title, body }) => body().catch(() => failed.push(title))));
  return failed;
}

function bound(store: ModelStore): ModelStore {
  return {
    traits: store.traits,
    change: (command, options) => store.change(command, options),
    find: (asked, options) => store.find(asked, options),
    findAlias: (alias, options) => store.findAlias(alias, options),
    page: (request, options) => store.page(request, options),
    aliases: (options) => store.aliases(options),
    changesAfter: (revision, options) => store.changesAfter(revision, options),
    follow: (nudge) => store.follow(nudge),
    close: () => store.close(),
  };
}

/** Commands of a type are others before the store sees them. */
const other =
  <Type extends StoreCommand["type"]>(
    type: Type,
    change: (command: StoreCommand & { readonly type: Type }) => Partial<StoreCommand>,
  ): Broken =>
  (store) => ({
    change: (command, options) =>
      store.change(
        command.type === type
          ? ({ ...command, ...change(command as StoreCommand & { readonly type: Type }) } as StoreCommand)
          : command,
        options,
      ),
  });

/** Answers to commands of a type are others. */
const answers =
  (type: StoreCommand["type"], change: (answer: StoreAnswer, command: StoreCommand) => StoreAnswer): Broken =>
  (store) => ({
    change: async (command, options) => {
      const answer = await store.change(command, options);
      return command.type === type ? change(answer, command) : answer;
    },
  });

/** What those who watch are told is other. */
const tells =
  (change: (changes: StoreChanges, after: number | undefined) => StoreChanges): Broken =>
  (store) => ({
    changesAfter: async (after, options) => change(await store.changesAfter(after, options), after),
  });

/** Before a command of a type others are done, whatever they are answered. */
const first =
  (type: StoreCommand["type"], commands: (command: never) => readonly StoreCommand[]): Broken =>
  (store) => ({
    change: async (command, options) => {
      if (command.type === type) for (const one of commands(command as never)) await store.change(one);
      return store.change(command, options);
    },
  });

type Of<Type extends StoreCommand["type"]> = StoreCommand & { readonly type: Type };

const anyGuard = { ifRevision: undefined };

const MUTANTS: Readonly<Record<string, readonly [broken: Broken, clause: string]>> = {
  "other content takes the place of what was registered": [
    first("register", ({ key }: Of<"register">) => [{ type: "remove", key }]),
    "another content of the same version is refused, and the first stays",
  ],
  "the same once more counts as a change": [
    answers("register", (answer) => (answer.verdict === "same" ? { ...answer, verdict: "done" } : answer)),
    "the same once more, in any order of its members, changes nothing",
  ],
  "other content is taken for the same": [
    answers("register", (answer) =>
      answer.verdict === "conflict" ? { ...answer, verdict: "same" } : answer,
    ),
    "of two who register other contents at a time one is refused",
  ],
  "numbers lose their last digits": [
    other("register", ({ content }) => ({ content: content.replace(/24000000001/, "24000000000") })),
    "a version that is registered is there, available, with all that was said of it",
  ],
  "a name is found by its beginning": [
    (store) => ({
      find: async (asked, options) =>
        (await store.find(asked, options)) ?? (await store.find(`${asked.slice(0, 4)}a@1`, options)),
    }),
    "what nobody has registered is not there",
  ],
  "there may be one more than may be": [
    other("register", ({ most }) => ({ most: most + 1 })),
    "there are no more than may be; one that is removed makes room",
  ],
  "pages overlap": [
    (store) => ({
      page: (request, options) => store.page({ ...request, after: request.after.slice(0, -1) }, options),
    }),
    "a list tells each once, in order, page by page, of all names or of one",
  ],
  "a name's page has those of longer names": [
    (store) => ({
      page: async (request, options) =>
        (await store.page({ ...request, name: undefined, limit: 100 }, options))
          .filter(({ key }) => key.startsWith(request.name ?? ""))
          .slice(0, request.limit),
    }),
    "a list tells each once, in order, page by page, of all names or of one",
  ],
  "a state that is set again is a change": [
    first("state", ({ key, state }: Of<"state">) =>
      state === "retired" ? [{ type: "state", key, state: "available" }] : [],
    ),
    "states are set, whatever they were, and stay as they were set",
  ],
  "what is retired stays so": [
    other("state", ({ state }) => (state === "available" ? { state: "retired" } : {})),
    "states are set, whatever they were, and stay as they were set",
  ],
  "what an alias means is drained with its aliases": [
    (store) => ({
      change: async (command, options) => {
        if (command.type === "state")
          for (const { alias } of await store.aliases())
            await store.change({ type: "drop", alias, ...anyGuard });
        return store.change(command, options);
      },
    }),
    "what an alias means is neither drained nor retired nor removed, until the alias is moved",
  ],
  "what an alias means may be removed": [
    (store) => ({
      change: async (command, options) => {
        if (command.type === "remove")
          for (const { alias } of await store.aliases())
            await store.change({ type: "drop", alias, ...anyGuard });
        return store.change(command, options);
      },
    }),
    "what an alias means is neither drained nor retired nor removed, until the alias is moved",
  ],
  "what is removed is retired only": [
    (store) => ({
      change: async (command, options) => {
        if (command.type !== "remove") return store.change(command, options);
        const answer = await store.change({ type: "state", key: command.key, state: "retired" }, options);
        return answer.verdict === "same" ? { verdict: "done" } : answer;
      },
    }),
    "what is removed is gone, and may be registered as something else",
  ],
  "an alias means what it meant first": [
    (store) => ({
      change: async (command, options) => {
        const known = command.type === "move" ? await store.findAlias(command.alias) : undefined;
        return store.change(
          command.type === "move" && known ? { ...command, target: known.target } : command,
          options,
        );
      },
    }),
    "an alias means what it was moved to last, and remembers what it meant before",
  ],
  "what it meant before is forgotten": [
    answers("move", (answer) => ({
      ...answer,
      alias: answer.alias && { ...answer.alias, previous: undefined },
    })),
    "an alias means what it was moved to last, and remembers what it meant before",
  ],
  "an alias that stays has a new revision": [
    first("move", ({ alias, target }: Of<"move">) => {
      const name = target.slice(0, target.indexOf("@"));
      return [{ type: "move", alias, target: `${name}@1`, most: 99, ...anyGuard }];
    }),
    "an alias that is moved to where it is stays as it is",
  ],
  "revisions that are named are not looked at": [
    other("move", () => anyGuard),
    "whoever names a revision moves an alias of that revision only",
  ],
  "0 stands for any revision": [
    other("move", ({ ifRevision }) => (ifRevision === 0 ? anyGuard : {})),
    "whoever names a revision moves an alias of that revision only",
  ],
  "a guard is looked at before the move, and not with it": [
    (store) => ({
      change: async (command, options) => {
        if (command.type !== "move" || command.ifRevision === undefined)
          return store.change(command, options);
        const known = await store.findAlias(command.alias);
        await Promise.resolve();
        return (known?.revision ?? 0) === command.ifRevision
          ? store.change({ ...command, ...anyGuard }, options)
          : { verdict: "stale", alias: known };
      },
    }),
    "of several who name one revision one moves the alias",
  ],
  "an alias may mean what is on its way out": [
    first("move", ({ target }: Of<"move">) => [{ type: "state", key: target, state: "available" }]),
    "an alias means only what is there and available",
  ],
  "an alias may have a version's name": [
    answers("move", (answer) =>
      answer.verdict === "taken" ? { ...answer, verdict: "same", alias: alias() } : answer,
    ),
    "nothing is both an alias and a version",
  ],
  "a version may have an alias's name": [
    (store) => ({
      change: async (command, options) => {
        if (command.type === "register" && (await store.findAlias(command.key)) !== undefined)
          await store.change({ type: "drop", alias: command.key, ...anyGuard });
        return store.change(command, options);
      },
    }),
    "nothing is both an alias and a version",
  ],
  "there may be an alias more than may be": [
    other("move", ({ most }) => ({ most: most + 1 })),
    "there are no more aliases than may be; one that is removed makes room",
  ],
  "a roll-back has nowhere to go": [
    (store) => ({
      findAlias: async (name, options) => {
        const found = await store.findAlias(name, options);
        return found && { ...found, previous: undefined };
      },
    }),
    "an alias is rolled back to what it meant before, and again to where it was",
  ],
  "an alias is removed by whoever comes": [
    other("drop", () => anyGuard),
    "an alias is removed by who names its revision, or none",
  ],
  "all types of devices are one": [
    other("profile", () => ({ deviceType: "" })),
    "a profile is kept by type of device, beside all else",
  ],
  "a state that is set takes the profiles with it": [
    answers("state", (answer) => ({ ...answer, model: answer.model && { ...answer.model, profiles: {} } })),
    "a state that changes leaves the profiles",
  ],
  "the last profile wins, whoever knew what": [
    other("profile", () => anyGuard),
    "the last writer is the one who knew the one before, whoever's clock says what",
  ],
  "the first profile stays": [
    other("profile", () => ({ ifRevision: 0 })),
    "the last writer is the one who knew the one before, whoever's clock says what",
  ],
  "a profile's guard is looked at before": [
    (store) => ({
      change: async (command, options) => {
        if (command.type !== "profile" || command.ifRevision === undefined)
          return store.change(command, options);
        const model = await store.find(command.key);
        await Promise.resolve();
        return (model?.profiles[command.deviceType]?.revision ?? 0) === command.ifRevision
          ? store.change({ ...command, ...anyGuard }, options)
          : { verdict: "stale", model };
      },
    }),
    "of several who knew one and the same, one records",
  ],
  "there may be a type more than may be": [
    other("profile", ({ most }) => ({ most: most + 1 })),
    "there are no more types of devices than may be, and none for what is not there",
  ],
  "those who come to watch are told what changes only": [
    tells((changes, after) => (after === undefined ? { ...changes, models: [], aliases: [] } : changes)),
    "who comes to watch is told all that there is, also that there is nothing",
  ],
  "who comes to an empty registry is not told that it is": [
    (store) => ({
      changesAfter: async (after, options) => {
        const changes = await store.changesAfter(after, options);
        return changes.revision === 0 ? { ...changes, isReset: false } : changes;
      },
    }),
    "who comes to watch is told all that there is, also that there is nothing",
  ],
  "everything is told each time": [
    (store) => ({
      changesAfter: async (after, options) => {
        const { revision } = await store.changesAfter(after, options);
        const all = await store.changesAfter(undefined, options);
        return after === revision ? { ...all, isReset: false, models: [], aliases: [] } : all;
      },
    }),
    "each change is told, with a greater revision than those before, and nothing beside it",
  ],
  "removals are not told": [
    tells((changes) => ({ ...changes, removedModels: [], removedAliases: [] })),
    "each change is told, with a greater revision than those before, and nothing beside it",
  ],
  "states and profiles that change are not told": [
    (store) => {
      let isQuiet = false;
      return {
        change: (command, options) => {
          isQuiet = command.type === "state" || command.type === "profile";
          return store.change(command, options);
        },
        changesAfter: async (after, options) => {
          const changes = await store.changesAfter(after, options);
          return isQuiet && !changes.isReset ? { ...changes, models: [] } : changes;
        },
      };
    },
    "each change is told, with a greater revision than those before, and nothing beside it",
  ],
  "who resumes is told all": [
    (store) => ({ changesAfter: (_, options) => store.changesAfter(undefined, options) }),
    "a watch that is resumed is told what came after, and no more",
  ],
  "who resumes begins at the present": [
    (store) => {
      let isFirst = true;
      return {
        follow: (nudge) => {
          isFirst = true;
          return store.follow(nudge);
        },
        changesAfter: async (after, options) => {
          const { revision } = await store.changesAfter(undefined, options);
          const isResumed = isFirst && after !== undefined;
          isFirst = false;
          return store.changesAfter(isResumed ? revision : after, options);
        },
      };
    },
    "a watch that is resumed is told what came after, and no more",
  ],
  "nobody is told that something has changed": [
    () => ({ follow: () => () => {} }),
    "a watch that is resumed where nothing came after is told of the next change",
  ],
  "every revision is taken for a known one": [
    tells((changes, after) => (after === undefined ? changes : { ...changes, isReset: false })),
    "who resumes after what is not remembered, or never was, is told all that there is",
  ],
  "only the last change is remembered": [
    (store) => ({
      changesAfter: async (after, options) => {
        const all = await store.changesAfter(undefined, options);
        return after === all.revision ? store.changesAfter(after, options) : all;
      },
    }),
    "the last changes are remembered, as many as it is told to",
  ],
  "aliases are told first, and models the next time": [
    (store) => {
      let late: StoreChanges["models"] = [];
      return {
        changesAfter: async (after, options) => {
          const changes = await store.changesAfter(after, options);
          const models = late;
          late = changes.models;
          return { ...changes, models };
        },
      };
    },
    "no alias is ever told before what it means",
  ],
  "signals are not heeded": [
    (store) => ({ change: (command) => store.change(command), find: (asked) => store.find(asked) }),
    "a signal that is over ends a call before it changes anything",
  ],
};

function alias() {
  return { alias: "llama@2", target: "llama@1", previous: undefined, revision: 1 };
}

describe("modelRegistryConformance", () => {
  it("finds nothing wrong with a store that is right", async () => {
    expect(await brokenClauses(() => ({}))).toEqual([]);
  });

  for (const [title, [broken, clause]] of Object.entries(MUTANTS))
    it(`finds out when ${title}`, async () => {
      expect(await brokenClauses(broken)).toContain(clause);
    });

  it("has a store that fails it for each clause about what stores decide", async () => {
    const titles: string[] = [];
    modelRegistryConformance(
      { describe: (_, body) => body(), it: (title) => titles.push(title) },
      { make: () => modelRegistry() },
    );
    const caught = new Set(Object.values(MUTANTS).map(([, clause]) => clause));
    // How a watch and a registry end is decided above the store, the same for all.
    const above = [
      "a watch ends with its signal's reason",
      "ends the registry: later calls reject, and watches end",
    ];
    expect(titles.filter((title) => !caught.has(title))).toEqual(above);
  });
});
