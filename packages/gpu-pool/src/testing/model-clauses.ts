// What is registered, listed, changed and removed.
import { ensure, present, same } from "@holdfast/core/testing";
import type { ModelInUseError } from "../registry/errors.ts";
import type { Clause } from "./trial.ts";
import { FULL_ENTRY, MAX_MODELS, PROFILE, rejects } from "./trial.ts";

export const modelClauses: readonly Clause[] = [
  {
    title: "a version that is registered is there, available, with all that was said of it",
    check: async ({ registry }) => {
      const { record, isNew } = await registry.register(FULL_ENTRY);
      same(isNew, true, "whether it is new");
      const found = present(await registry.get("flux.1-dev_x@2026-11.rc_1"), "what was registered");
      same(found, record, "what is found");
      same([found.key, found.state, found.profiles], ["flux.1-dev_x@2026-11.rc_1", "available", {}], "it");
      same(found.entry, { ...FULL_ENTRY, ...inMilliseconds }, "its entry");
      ensure(Number.isSafeInteger(found.revision) && found.revision > 0, "a revision above 0");
    },
  },
  {
    title: "what nobody has registered is not there",
    check: async ({ registry }) => {
      await registry.register({ name: "llama", version: "1" });
      for (const name of ["llama@2", "llam@1", "llama@stable"])
        same(await registry.get(name), undefined, name);
      same(await registry.alias("llama@1"), undefined, "the alias llama@1");
    },
  },
  {
    title: "the same once more, in any order of its members, changes nothing",
    check: async ({ registry }) => {
      const { record } = await registry.register(FULL_ENTRY);
      const turned = Object.fromEntries(Object.entries(FULL_ENTRY).toReversed()) as typeof FULL_ENTRY;
      same(await registry.register(turned), { record, isNew: false }, "the second answer");
    },
  },
  {
    title: "another content of the same version is refused, and the first stays",
    check: async ({ registry }) => {
      const { record } = await registry.register({ name: "llama", version: "1", memoryBytes: 1 });
      const other = registry.register({ name: "llama", version: "1", memoryBytes: 2 });
      await rejects(other, "MODEL_CONFLICT", "other content");
      same(await registry.get("llama@1"), record, "what is there");
    },
  },
  {
    title: "of two who register other contents at a time one is refused",
    check: async ({ registry }) => {
      const outcomes = await Promise.allSettled(
        [1, 2, 3].map((memoryBytes) => registry.register({ name: "llama", version: "1", memoryBytes })),
      );
      const made = outcomes.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      same(made.length, 1, "how many were registered");
      same(await registry.get("llama@1"), made[0]!.record, "what is there");
    },
  },
  {
    title: "there are no more than may be; one that is removed makes room",
    check: async (t) => {
      await t.versions(MAX_MODELS);
      const { registry } = t;
      await rejects(registry.register({ name: "more", version: "1" }), "REGISTRY_FULL", "one more");
      same(
        (await registry.register({ name: "llama", version: "1" })).isNew,
        false,
        "whether a known one is new",
      );
      await registry.remove("llama@2");
      same((await registry.register({ name: "more", version: "1" })).isNew, true, "whether one is new then");
      await rejects(registry.register({ name: "more", version: "2" }), "REGISTRY_FULL", "again one more");
    },
  },
  {
    title: "a list tells each once, in order, page by page, of all names or of one",
    check: async (t) => {
      for (const key of ["b@2", "a@10", "a@9", "a-b@1", "ab@1"]) {
        const [name = "", version = ""] = key.split("@");
        await t.registry.register({ name, version });
      }
      const all = ["a-b@1", "a@10", "a@9", "ab@1", "b@2"];
      for (const limit of [1, 2, 4, 5, 6]) same(await t.keys(limit), all, `pages of ${limit}`);
      same(await t.keys(1, "a"), ["a@10", "a@9"], "those of the name a");
      same(await t.keys(5, "none"), [], "those of a name that there is not");
    },
  },
  {
    title: "states are set, whatever they were, and stay as they were set",
    check: async (t) => {
      await t.versions(2);
      let before = 0;
      for (const state of ["draining", "retired", "available", "retired"] as const) {
        const record = await t.registry.setState("llama@1", state);
        same(record.state, state, "the state");
        ensure(record.revision > before, "a greater revision");
        before = record.revision;
        same(await t.registry.get("llama@1"), record, "what is there");
      }
      same(
        (await t.registry.setState("llama@1", "retired")).revision,
        before,
        "the revision when it was so already",
      );
      same((await t.registry.get("llama@2"))?.state, "available", "the state of the other");
      await rejects(
        t.registry.setState("llama@3", "retired"),
        "UNKNOWN_MODEL",
        "the state of an unknown one",
      );
    },
  },
  {
    title: "what an alias means is neither drained nor retired nor removed, until the alias is moved",
    check: async (t) => {
      await t.versions(2);
      await t.move("llama@stable", "1");
      await t.move("llama@beta", "1");
      const { registry } = t;
      for (const [what, work] of [
        ["draining", () => registry.setState("llama@1", "draining")],
        ["retiring", () => registry.setState("llama@1", "retired")],
        ["removing", () => registry.remove("llama@1")],
      ] as const) {
        const error = (await rejects(work(), "MODEL_IN_USE", what)) as ModelInUseError;
        same(error.aliases, ["llama@beta", "llama@stable"], "the aliases that are named");
      }
      same((await registry.get("llama@1"))?.state, "available", "its state");
      await t.move("llama@stable", "2");
      await rejects(registry.remove("llama@1"), "MODEL_IN_USE", "removing with one alias left");
      await registry.removeAlias("llama@beta");
      same((await registry.setState("llama@1", "draining")).state, "draining", "its state then");
      same(await registry.remove("llama@1"), true, "whether it is removed then");
    },
  },
  {
    title: "what is removed is gone, and may be registered as something else",
    check: async ({ registry }) => {
      const { record } = await registry.register({ name: "llama", version: "1", memoryBytes: 1 });
      await registry.recordProfile("llama@1", "H100", PROFILE);
      await registry.setState("llama@1", "retired");
      same(await registry.remove("llama@1"), true, "whether it was removed");
      same(await registry.get("llama@1"), undefined, "what is there");
      same(await registry.remove("llama@1"), false, "whether it was removed once more");
      const again = await registry.register({ name: "llama", version: "1", memoryBytes: 2 });
      same(again.isNew, true, "whether it is new");
      same([again.record.state, again.record.profiles], ["available", {}], "its state and profiles");
      ensure(again.record.revision > record.revision, "a greater revision");
    },
  },
];

const inMilliseconds = {
  loadTime: 8_000,
  loadTimeout: 120_000,
  warmUp: { ...FULL_ENTRY.warmUp, timeout: 10_000 },
};
