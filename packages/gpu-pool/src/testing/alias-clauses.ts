// What aliases mean, who may move them, and how they are rolled back.
import { ensure, same } from "@holdfast/core/testing";
import { rollBackAlias } from "../registry/roll-back.ts";
import type { Clause } from "./trial.ts";
import { MAX_ALIASES, rejects } from "./trial.ts";

export const aliasClauses: readonly Clause[] = [
  {
    title: "an alias means what it was moved to last, and remembers what it meant before",
    check: async (t) => {
      await t.versions(3);
      const first = await t.move("llama@stable", "1");
      same(first, { alias: "llama@stable", version: "1", revision: first.revision }, "the alias");
      await t.move("llama@beta", "3");
      const second = await t.move("llama@stable", "2");
      const expected = { alias: "llama@stable", version: "2", previous: "1", revision: second.revision };
      same(second, expected, "the alias that was moved");
      ensure(second.revision > first.revision, "a greater revision");
      same(await t.registry.alias("llama@stable"), second, "the alias as it is found");
      same(await t.meant("llama@stable"), "llama@2", "what it means");
      same(await t.meant("llama@beta"), "llama@3", "what the other means");
      const all = (await t.registry.aliases()).map(({ alias, version }) => [alias, version]);
      same(
        all,
        [
          ["llama@beta", "3"],
          ["llama@stable", "2"],
        ],
        "all aliases",
      );
    },
  },
  {
    title: "an alias that is moved to where it is stays as it is",
    check: async (t) => {
      await t.versions(2);
      await t.move("llama@stable", "1");
      const moved = await t.move("llama@stable", "2");
      same(await t.move("llama@stable", "2"), moved, "the alias");
      const guarded = await t.registry.moveAlias("llama@stable", "2", { ifRevision: moved.revision });
      same(guarded, { moved: true, alias: moved }, "the answer with its revision");
    },
  },
  {
    title: "whoever names a revision moves an alias of that revision only",
    check: async (t) => {
      await t.versions(3);
      const { registry } = t;
      const none = await registry.moveAlias("llama@stable", "1", { ifRevision: 7 });
      same(none, { moved: false, alias: undefined }, "a revision where there is no alias");
      const first = await registry.moveAlias("llama@stable", "1", { ifRevision: 0 });
      if (!first.moved) throw new TypeError("0 stands for none");
      same(
        await registry.moveAlias("llama@stable", "2", { ifRevision: 0 }),
        { moved: false, alias: first.alias },
        "none where there is one",
      );
      const second = await t.move("llama@stable", "2");
      const late = await registry.moveAlias("llama@stable", "3", { ifRevision: first.alias.revision });
      same(late, { moved: false, alias: second }, "a revision that is over");
      same(await t.meant("llama@stable"), "llama@2", "what it means");
      const timely = await registry.moveAlias("llama@stable", "3", { ifRevision: second.revision });
      same(timely.moved, true, "the present revision");
    },
  },
  {
    title: "of several who name one revision one moves the alias",
    check: async (t) => {
      await t.versions(5);
      const { revision } = await t.move("llama@stable", "1");
      const moves = await Promise.all(
        ["2", "3", "4", "5"].map((version) =>
          t.registry.moveAlias("llama@stable", version, { ifRevision: revision }),
        ),
      );
      const won = moves.filter(({ moved }) => moved);
      same(won.length, 1, "how many have moved it");
      for (const { alias } of moves) same(alias, won[0]!.alias, "what all are told that it means");
    },
  },
  {
    title: "an alias means only what is there and available",
    check: async (t) => {
      await t.versions(3);
      await t.registry.setState("llama@2", "draining");
      await t.registry.setState("llama@3", "retired");
      const stable = await t.move("llama@stable", "1");
      const { registry } = t;
      await rejects(registry.moveAlias("llama@stable", "9"), "UNKNOWN_MODEL", "a move to what is not there");
      for (const version of ["2", "3"])
        await rejects(
          registry.moveAlias("llama@stable", version),
          "MODEL_NOT_AVAILABLE",
          "a move to what is on its way out",
        );
      same(await registry.alias("llama@stable"), stable, "the alias");
      await registry.setState("llama@3", "available");
      same((await t.move("llama@stable", "3")).version, "3", "what it means once that is available again");
    },
  },
  {
    title: "nothing is both an alias and a version",
    check: async (t) => {
      await t.versions(2);
      await rejects(t.registry.moveAlias("llama@2", "1"), "ALIAS_TAKEN", "an alias with a version's name");
      await t.move("llama@stable", "1");
      const version = t.registry.register({ name: "llama", version: "stable" });
      await rejects(version, "ALIAS_TAKEN", "a version with an alias's name");
      same((await t.registry.get("llama@2"))?.key, "llama@2", "the version");
      same(await t.meant("llama@stable"), "llama@1", "what the alias means");
    },
  },
  {
    title: "there are no more aliases than may be; one that is removed makes room",
    check: async (t) => {
      await t.versions(2);
      for (let alias = 0; alias < MAX_ALIASES; alias += 1) await t.move(`llama@alias-${alias}`, "1");
      await rejects(t.registry.moveAlias("llama@more", "1"), "REGISTRY_FULL", "one more");
      same((await t.move("llama@alias-0", "2")).version, "2", "what one of them means after a move");
      await t.registry.removeAlias("llama@alias-1");
      await t.move("llama@more", "1");
      await rejects(t.registry.moveAlias("llama@alias-1", "1"), "REGISTRY_FULL", "again one more");
    },
  },
  {
    title: "an alias is rolled back to what it meant before, and again to where it was",
    check: async (t) => {
      await t.versions(3);
      const { registry } = t;
      same((await rollBackAlias(registry, "llama@stable")).moved, false, "one that there is not");
      const first = await t.move("llama@stable", "1");
      same(
        await rollBackAlias(registry, "llama@stable"),
        { moved: false, alias: first },
        "one that was never moved",
      );
      await t.move("llama@stable", "2");
      const back = await rollBackAlias(registry, "llama@stable");
      same([back.moved, back.alias?.version, back.alias?.previous], [true, "1", "2"], "the alias");
      same(await t.meant("llama@stable"), "llama@1", "what it means");
      await rollBackAlias(registry, "llama@stable");
      same(await t.meant("llama@stable"), "llama@2", "what it means when it is rolled back twice");
      await t.registry.remove("llama@1");
      await rejects(rollBackAlias(registry, "llama@stable"), "UNKNOWN_MODEL", "back to what is gone");
    },
  },
  {
    title: "an alias is removed by who names its revision, or none",
    check: async (t) => {
      await t.versions(2);
      const { registry } = t;
      same(
        await registry.removeAlias("llama@stable"),
        { removed: false, alias: undefined },
        "of what is not there",
      );
      const first = await t.move("llama@stable", "1");
      const second = await t.move("llama@stable", "2");
      const late = await registry.removeAlias("llama@stable", { ifRevision: first.revision });
      same(late, { removed: false, alias: second }, "with a revision that is over");
      const timely = await registry.removeAlias("llama@stable", { ifRevision: second.revision });
      same(timely, { removed: true }, "with its revision");
      same(await registry.alias("llama@stable"), undefined, "the alias");
      same(await registry.get("llama@stable"), undefined, "what it means");
      const again = await t.move("llama@stable", "1");
      same(again.previous, undefined, "what a new one of that name has meant before");
      ensure(again.revision > second.revision, "a greater revision");
    },
  },
];
