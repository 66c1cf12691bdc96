import { defineTask, memoryStore, queue } from "@holdfast/queue";
import { taskApi } from "@holdfast/queue/http";
import { expect, it } from "vitest";

const work = defineTask({ name: "work" });
const jobs = queue({ name: "jobs", store: memoryStore() });

it.each(["/", "/v1/tasks/", "v1/tasks", "//tasks", "/tasks?x", "/a b"])(
  "refuses %j as a base: no location below it would lead back",
  (base) => {
    expect(() => taskApi({ queue: jobs, task: work, base })).toThrow(/taskApi: option "base" must be a path/);
  },
);

it.each(["/tasks", "/v1/tasks", "/~ann/v1.2/a_b-c"])(
  "answers below %j with locations that lead back",
  async (base) => {
    const api = taskApi({ queue: jobs, task: work, base });
    const headers = { "content-type": "application/json" };
    const added = await api(new Request(`http://localhost${base}`, { method: "POST", headers, body: "{}" }));
    expect(added.status).toBe(202);
    const location = added.headers.get("location") ?? "";
    expect(location.startsWith(`${base}/`)).toBe(true);
    expect((await api(new Request(`http://localhost${location}`))).status).toBe(200);
  },
);
