// What those who watch are told.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause, Trial, Watched } from "./trial.ts";
import { HISTORY, PROFILE } from "./trial.ts";

/** Asserts that it knows what there is, no more and no less. */
async function knowsAll({ registry }: Trial, watched: Watched, when: string): Promise<void> {
  const { models } = await registry.list({ limit: 1_000 });
  const known = [...watched.models.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  same(known, models, `the models that are known ${when}`);
  const aliases = [...watched.aliases.values()].sort((a, b) => (a.alias < b.alias ? -1 : 1));
  same(aliases, await registry.aliases(), `the aliases that are known ${when}`);
}

export const watchClauses: readonly Clause[] = [
  {
    title: "who comes to watch is told all that there is, also that there is nothing",
    check: async (t) => {
      const nothing = await t.watch().next();
      same([nothing.isReset, nothing.models, nothing.aliases], [true, [], []], "what there is at first");
      const [, second] = await t.versions(2);
      const alias = await t.move("llama@stable", "1");
      const watched = t.watch();
      const change = await watched.next();
      same([change.isReset, change.revision], [true, alias.revision], "the change");
      await knowsAll(t, watched, "at first");
      ensure(watched.models.get("llama@2")?.revision === second?.revision, "the second version is told");
    },
  },
  {
    title: "each change is told, with a greater revision than those before, and nothing beside it",
    check: async (t) => {
      const watched = t.watch();
      await watched.next();
      await t.versions(2);
      const { registry } = t;
      const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
        ["a new version", () => registry.register({ name: "other", version: "1" })],
        ["a state", () => registry.setState("other@1", "draining")],
        ["a profile", () => registry.recordProfile("other@1", "H100", PROFILE)],
        ["a new alias", () => t.move("llama@stable", "1")],
        ["an alias that is moved", () => t.move("llama@stable", "2")],
        ["an alias that is removed", () => registry.removeAlias("llama@stable")],
        ["a version that is removed", () => registry.remove("other@1")],
      ];
      await settled(t, watched);
      for (const [what, step] of steps) {
        const before = watched.told.at(-1)!.revision;
        await step();
        const change = await watched.next();
        ensure(change.revision > before, `${what} has a greater revision`);
        same(change.isReset, false, `whether ${what} is all that there is`);
        const { models, aliases, removedModels, removedAliases } = change;
        const count = models.length + aliases.length + removedModels.length + removedAliases.length;
        same(count, 1, `how much is told of ${what}`);
        await knowsAll(t, watched, `after ${what}`);
      }
    },
  },
  {
    title: "a watch that is resumed is told what came after, and no more",
    check: async (t) => {
      const watched = t.watch();
      await watched.next();
      await t.versions(2);
      await settled(t, watched);
      watched.stop.abort();
      const after = watched.told.at(-1)!.revision;
      await t.registry.remove("llama@1");
      await t.registry.register({ name: "late", version: "1" });
      await t.move("late@stable", "1");
      const resumed = t.watch({ after });
      const change = await resumed.next();
      same(change.isReset, false, "whether it is all that there is");
      same(
        [
          change.models.map(({ key }) => key),
          change.aliases.length,
          change.removedModels,
          change.removedAliases,
        ],
        [["late@1"], 1, ["llama@1"], []],
        "what it is told",
      );
    },
  },
  {
    title: "a watch that is resumed where nothing came after is told of the next change",
    check: async (t) => {
      await t.versions(2);
      const { revision } = await t.watch().next();
      const resumed = t.watch({ after: revision });
      const next = resumed.next();
      await t.registry.setState("llama@2", "retired");
      const change = await next;
      same([change.isReset, change.models.map(({ key }) => key)], [false, ["llama@2"]], "what it is told");
    },
  },
  {
    title: "who resumes after what is not remembered, or never was, is told all that there is",
    check: async (t) => {
      const [first, second] = await t.versions(3);
      await t.registry.remove("llama@1");
      for (let change = 0; change < HISTORY; change += 1)
        await t.registry.recordProfile("llama@2", "H100", { ...PROFILE, batches: change + 1 });
      const { revision } = await t.watch().next();
      for (const after of [first!.revision, second!.revision, revision + 1, 1]) {
        const watched = t.watch({ after });
        same((await watched.next()).isReset, true, `whether all is told after ${after}`);
        await knowsAll(t, watched, `after ${after}`);
      }
    },
  },
  {
    title: "the last changes are remembered, as many as it is told to",
    check: async (t) => {
      const [first] = await t.versions(1);
      await t.versions(1, "other");
      for (let change = 0; change < HISTORY - 1; change += 1)
        await t.registry.recordProfile("llama@1", "H100", { ...PROFILE, batches: change + 1 });
      const watched = t.watch({ after: first!.revision });
      const change = await watched.next();
      same(change.isReset, false, "whether all is told");
      same(change.models.map(({ key }) => key).sort(), ["llama@1", "other@1"], "what is told");
    },
  },
  {
    title: "no alias is ever told before what it means",
    check: async (t) => {
      const watched = t.watch();
      await watched.next();
      const { registry } = t;
      let last = 0;
      const work = (async () => {
        for (let version = 1; version <= 12; version += 1) {
          await registry.register({ name: "llama", version: String(version) });
          last = (await t.move("llama@stable", String(version))).revision;
          if (version > 1) await registry.remove(`llama@${version - 1}`);
        }
        last = (await registry.setState("llama@12", "available")).revision;
        last = (await registry.register({ name: "end", version: "1" })).record.revision;
      })();
      // Told below, when it is awaited.
      work.catch(() => {});
      do {
        await watched.next();
        for (const { alias, version } of watched.aliases.values())
          ensure(watched.models.has(`llama@${version}`), `${alias} means ${version}, which was not told`);
      } while (!watched.models.has("end@1"));
      await work;
      await watched.until(last);
      await knowsAll(t, watched, "in the end");
    },
  },
  {
    title: "a watch ends with its signal's reason",
    check: async (t) => {
      const watched = t.watch();
      await watched.next();
      const ending = watched.ending();
      const reason = new Error("enough");
      watched.stop.abort(reason);
      ensure((await ending) === reason, "the reason itself");
      const late = t.watch({ signal: AbortSignal.abort(reason) });
      ensure((await late.ending()) === reason, "the reason itself, where it was over before");
    },
  },
  {
    title: "who watches elsewhere is told too",
    isShared: true,
    check: async (t) => {
      const other = await t.other();
      const watched = t.watch({}, other);
      await watched.next();
      await t.versions(2);
      const { revision } = await t.move("llama@stable", "2");
      await watched.until(revision);
      await knowsAll(t, watched, "elsewhere");
      same((await other.get("llama@stable"))?.key, "llama@2", "what the alias means elsewhere");
      const move = await other.moveAlias("llama@stable", "1", { ifRevision: revision });
      same(move.moved, true, "whether it is moved from elsewhere");
      same(await t.meant("llama@stable"), "llama@1", "what it means here");
    },
  },
  {
    title: "of several in several places who name one revision one moves the alias",
    isShared: true,
    check: async (t) => {
      await t.versions(5);
      const places = [t.registry, await t.other(), await t.other()];
      let { revision } = await t.move("llama@stable", "1");
      for (const version of ["2", "3", "4"]) {
        const moves = await Promise.all(
          places.map((place) => place.moveAlias("llama@stable", version, { ifRevision: revision })),
        );
        same(moves.filter(({ moved }) => moved).length, 1, "how many have moved it");
        revision = moves[0]!.alias!.revision;
      }
    },
  },
];

/** Takes in all that was changed by now. */
async function settled({ registry }: Trial, watched: Watched): Promise<void> {
  const { models } = await registry.list();
  await watched.until(Math.max(...models.map(({ revision }) => revision)));
}
