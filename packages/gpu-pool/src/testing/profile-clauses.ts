// What was measured of models.
import { ensure, same } from "@holdfast/core/testing";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import type { Clause } from "./trial.ts";
import { PROFILE, rejects } from "./trial.ts";

export const profileClauses: readonly Clause[] = [
  {
    title: "a profile is kept by type of device, beside all else",
    check: async (t) => {
      const [model] = await t.versions(2);
      await t.move("llama@stable", "1");
      const first = await t.registry.recordProfile("llama@1", "NVIDIA H100 80GB", PROFILE);
      const other = { perItemMs: 20, fixedMs: 0, margin: 1, maxBatch: 1, batches: 1 };
      const second = await t.registry.recordProfile("llama@1", "", other);
      const record = (await t.registry.get("llama@1"))!;
      const expected = { "": second.profile, "NVIDIA H100 80GB": first.profile };
      same(record.profiles, expected, "the profiles");
      same(first.profile, { ...PROFILE, revision: first.profile?.revision }, "the first");
      same(second.profile, { ...other, revision: second.profile?.revision }, "the second");
      same([record.entry, record.state], [model!.entry, "available"], "entry and state");
      same((await t.registry.get("llama@2"))?.profiles, {}, "the profiles of the other version");
      const { profiles } = await t.registry.setState("llama@2", "draining");
      same(profiles, {}, "them after a change");
      ensure((second.profile?.revision ?? 0) > (first.profile?.revision ?? 0), "a greater revision");
      same(record.revision, second.profile?.revision, "the revision of the model");
    },
  },
  {
    title: "a state that changes leaves the profiles",
    check: async (t) => {
      await t.versions(1);
      const { profile } = await t.registry.recordProfile("llama@1", "H100", PROFILE);
      same((await t.registry.setState("llama@1", "retired")).profiles, { H100: profile }, "the profiles");
    },
  },
  {
    title: "the last writer is the one who knew the one before, whoever's clock says what",
    check: async (t) => {
      await t.versions(1);
      const write = (perItemMs: number, ifRevision?: number) =>
        t.registry.recordProfile("llama@1", "H100", { ...PROFILE, perItemMs }, { ifRevision });
      same(await write(1, 3), { recorded: false, profile: undefined }, "with a revision where there is none");
      const first = await write(1, 0);
      same(first.recorded, true, "with 0 for none");
      const second = await write(2, first.profile!.revision);
      same(second.recorded, true, "with the revision of the first");
      const present = { recorded: false, profile: second.profile };
      same(await write(3, first.profile!.revision), present, "with a revision that is over");
      same(await write(3, 0), present, "with 0 where there is one");
      same(await write(2, second.profile!.revision), { ...second }, "the same once more");
      same((await write(4)).profile?.perItemMs, 4, "what is recorded without a revision");
    },
  },
  {
    title: "of several who knew one and the same, one records",
    check: async (t) => {
      await t.versions(1);
      const all = await Promise.all(
        [1, 2, 3, 4].map((perItemMs) =>
          t.registry.recordProfile("llama@1", "H100", { ...PROFILE, perItemMs }, { ifRevision: 0 }),
        ),
      );
      same(all.filter(({ recorded }) => recorded).length, 1, "how many have recorded");
    },
  },
  {
    title: "there are no more types of devices than may be, and none for what is not there",
    check: async (t) => {
      await t.versions(1);
      const { registry } = t;
      const { deviceTypes } = REGISTRY_LIMITS;
      for (let type = 0; type < deviceTypes; type += 1)
        await registry.recordProfile("llama@1", `type ${type}`, PROFILE);
      const more = registry.recordProfile("llama@1", "one more", PROFILE);
      await rejects(more, "REGISTRY_FULL", "a type more");
      const again = await registry.recordProfile("llama@1", "type 0", { ...PROFILE, batches: 7 });
      same(again.profile?.batches, 7, "a type that is there");
      await rejects(registry.recordProfile("llama@2", "H100", PROFILE), "UNKNOWN_MODEL", "an unknown model");
    },
  },
];
