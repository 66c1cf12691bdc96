// What was given up: kept, told, tried again or forgotten, and never written after something newer.
import { ensure, same } from "@holdfast/core/testing";
import type { Clause } from "./trial.ts";

export const deadClauses: readonly Clause[] = [
  {
    title: "keeps what was given up, gives it to nobody, and does not read it as pending",
    check: async (t) => {
      await t.append("a", "1");
      await t.settled(await t.claim("a"), "failed");
      const claim = await t.claim("a");
      await t.settled(claim, "dead");
      await t.nothingDue("after it was given up", { early: true });
      same(await t.log.read("a"), undefined, "what is read");
      await t.holds(0, 1, "after it was given up");
      same((await t.log.stats()).oldest, undefined, "the oldest");
      const [entry] = await t.log.deadEntries(10, 0);
      const { diedAtMs, ...rest } = entry!;
      same(
        rest,
        { key: "a", value: "1", version: claim.version, attempts: 2, error: "Error: never" },
        "the dead letter",
      );
      ensure(diedAtMs > Date.UTC(2020, 0, 1), `${diedAtMs} is no time since the epoch`);
      await t.refused(claim, "of a dead letter");
    },
  },
  {
    title: "lists those that died first first, in parts",
    check: async (t) => {
      for (const key of ["c", "a", "b"]) {
        await t.kill(key);
        await t.advance(5);
      }
      const keys = async (limit: number, offset: number): Promise<readonly string[]> =>
        (await t.log.deadEntries(limit, offset)).map(({ key }) => key);
      same(await keys(2, 0), ["c", "a"], "the first two");
      same(await keys(2, 2), ["b"], "those after them");
      same(await keys(2, 3), [], "those after all");
    },
  },
  {
    title: "tries dead letters again when told to, as if just written",
    check: async (t) => {
      for (const key of ["a", "b", "c"]) await t.kill(key);
      const { latest } = await t.log.stats();
      same(await t.log.redrive(["a", "a", "none"]), 1, "those that are pending again");
      same(await t.log.read("a"), "1", "what is read");
      const claim = await t.claim("a");
      same(claim.attempt, 1, "the attempt");
      ensure(claim.version > latest, "its version is a new one");
      await t.settled(claim, "written");
      same(await t.log.redrive(), 2, "those that are pending again when none are named");
      same(await t.log.redrive(), 0, "those that are pending again when there are none");
      same((await t.claims()).length, 2, "keys that are claimed");
      await t.holds(2, 0, "afterwards");
    },
  },
  {
    title: "forgets dead letters when told to, and nothing that is pending",
    check: async (t) => {
      for (const key of ["a", "b"]) await t.kill(key);
      await t.append("c", "1");
      same(await t.log.discard(["a", "c", "none"]), 1, "those that are forgotten");
      await t.holds(1, 1, "afterwards");
      same(await t.log.read("c"), "1", "what is pending");
      same(await t.log.redrive(["a"]), 0, "what was forgotten is not pending again");
    },
  },
  {
    title: "puts a newer write in the place of a dead letter, which cannot come back after it",
    check: async (t) => {
      await t.kill("a", "old");
      await t.append("a", "new");
      await t.holds(1, 0, "after the newer write");
      same(await t.log.redrive(), 0, "dead letters that are pending again");
      const claim = await t.claim("a");
      same([claim.value, claim.attempt], ["new", 1], "what is claimed");
    },
  },
  {
    title: "does not give up what is newer than what was claimed",
    check: async (t) => {
      await t.append("a", "1");
      const first = await t.claim("a");
      await t.append("a", "2");
      await t.settled(first, "dead");
      await t.holds(1, 0, "afterwards");
      const claim = await t.claim("a");
      same([claim.value, claim.attempt], ["2", 1], "what is claimed");
    },
  },
];
