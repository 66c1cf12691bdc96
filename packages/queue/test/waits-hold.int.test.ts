import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";

/** Runs a module of its own, with the packages as they are built, and answers what it has printed. */
async function printed(lines: string): Promise<string> {
  const program = `
    import { constant } from "@holdfast/core";
    import { defineTask, handle, memoryStore, queue, worker } from "@holdfast/queue";
    const flaky = defineTask({ name: "flaky", attempts: 2, backoff: constant("50ms") });
    const jobs = queue({ name: "jobs", store: memoryStore() });
    worker(jobs, [handle(flaky, ({ attempt }) => {
      if (attempt === 1) throw new Error("once more");
      return "done";
    })]);
    const { id } = await jobs.enqueue(flaky, {});
    ${lines}`;
  const args = ["--input-type=module", "--eval", program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  return stdout.trim();
}

it("keeps its process for those who wait for a task that a store in memory holds, and not beyond", async () => {
  expect(await printed("console.log(await jobs.wait(flaky, id));")).toBe("done");
  const types = "const types = []; for await (const { type } of jobs.events(id)) types.push(type);";
  expect(await printed(`${types} console.log(types.join());`)).toBe(
    "enqueued,started,retrying,started,completed",
  );
});

it("keeps no process for a task that nobody waits for", async () => {
  expect(await printed("console.log((await jobs.status(id)).id === id);")).toBe("true");
});
