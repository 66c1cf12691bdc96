// The contract of registries of models as tests, for any runner that has `describe` and `it`.
import { hasCode } from "@holdfast/core";
import type { ConformanceRunner } from "@holdfast/core/testing";
import { ConformanceError, ensure } from "@holdfast/core/testing";
import { aliasClauses } from "./alias-clauses.ts";
import { modelClauses } from "./model-clauses.ts";
import { profileClauses } from "./profile-clauses.ts";
import type { Clause, ModelRegistrySubject } from "./trial.ts";
import { PROFILE, rejects, Trial } from "./trial.ts";
import { watchClauses } from "./watch-clauses.ts";

const SECTIONS: Readonly<Record<string, readonly Clause[]>> = {
  models: modelClauses,
  aliases: aliasClauses,
  profiles: profileClauses,
  "those who watch": watchClauses,
};

/**
 * Declares the tests that every registry of models passes, whatever its store.
 *
 * @example
 * ```ts no-run: needs a test runner
 * import { memoryModelStore, modelRegistry } from "@holdfast/gpu-pool";
 * import { modelRegistryConformance } from "@holdfast/gpu-pool/testing";
 * import { describe, it } from "node:test";
 *
 * modelRegistryConformance(
 *   { describe, it },
 *   { make: () => modelRegistry({ store: memoryModelStore({ history: 12 }), maxModels: 5, maxAliases: 4 }) },
 * );
 * ```
 */
export function modelRegistryConformance(runner: ConformanceRunner, subject: ModelRegistrySubject): void {
  runner.describe("the contract of registries of models", () => {
    for (const [title, clauses] of Object.entries(SECTIONS))
      runner.describe(title, () => {
        for (const clause of clauses)
          if (clause.isShared !== true || subject.makeOther !== undefined)
            runner.it(clause.title, () => tried(clause, subject));
      });
    runner.describe("close", () => {
      runner.it("ends the registry: later calls reject, and watches end", () => closes(subject));
      runner.it("a signal that is over ends a call before it changes anything", () => heeds(subject));
    });
  });
}

async function tried({ check }: Clause, subject: ModelRegistrySubject): Promise<void> {
  const trial = new Trial(await subject.make(), subject);
  try {
    await check(trial);
  } finally {
    await trial.end();
  }
}

async function closes(subject: ModelRegistrySubject): Promise<void> {
  const trial = new Trial(await subject.make(), subject);
  const { registry } = trial;
  await trial.versions(1);
  const watched = trial.watch();
  await watched.next();
  const ending = watched.ending();
  await registry.close();
  await registry.close();
  ensure(hasCode(await ending, "CLOSED"), "a watch ends with CLOSED");
  await rejects(registry.register({ name: "late", version: "1" }), "CLOSED", "register");
  await rejects(registry.get("llama@1"), "CLOSED", "get");
  await rejects(registry.list(), "CLOSED", "list");
  await rejects(registry.recordProfile("llama@1", "", PROFILE), "CLOSED", "recordProfile");
  try {
    await registry.watch().next();
  } catch (error) {
    if (hasCode(error, "CLOSED")) return;
  }
  throw new ConformanceError("a closed registry is not watched");
}

async function heeds(subject: ModelRegistrySubject): Promise<void> {
  const trial = new Trial(await subject.make(), subject);
  const { registry } = trial;
  try {
    await trial.versions(1);
    const reason = new Error("not any more");
    const signal = AbortSignal.abort(reason);
    for (const work of [
      () => registry.register({ name: "llama", version: "2" }, { signal }),
      () => registry.moveAlias("llama@stable", "1", { signal }),
      () => registry.get("llama@1", { signal }),
      () => registry.list({ signal }),
      () => registry.aliases({ signal }),
      () => registry.alias("llama@stable", { signal }),
    ])
      ensure((await work().catch((error: unknown) => error)) === reason, "it rejects with the reason itself");
    ensure((await registry.get("llama@2")) === undefined, "nothing is registered");
    ensure((await registry.aliases()).length === 0, "no alias is made");
  } finally {
    await trial.end();
  }
}
