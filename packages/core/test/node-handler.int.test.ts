import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readJson } from "@holdfast/core";
import { nodeHandler } from "@holdfast/core/node";
import express from "express";
import { expect, it, onTestFinished } from "vitest";

/** Express with a parser of bodies in front of everything, as many applications have it. */
async function parsesFirst(onError?: (error: unknown) => void): Promise<string> {
  const app = express();
  app.use(express.json());
  const listener = nodeHandler(
    async (request) =>
      request.method === "DELETE" ? new Response("gone") : Response.json(await readJson(request, 1_000)),
    onError === undefined ? {} : { onError },
  );
  app.all("/tasks", listener);
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/tasks`;
}

const headers = { "content-type": "application/json", connection: "close" };

it("says of a body that a middleware has read that it was read, not that it is malformed", async () => {
  const told: unknown[] = [];
  const url = await parsesFirst((error) => told.push(error));
  const response = await fetch(url, { method: "POST", headers, body: '{"n":1}' });
  expect(response.status).toBe(500);
  expect(await response.json()).toMatchObject({
    code: "BODY_TAKEN",
    detail: expect.stringContaining("express.json()") as string,
  });
  expect(told).toMatchObject([{ code: "BODY_TAKEN" }]);
});

it("lets a handler go on that has no use for the body, or where there was none", async () => {
  const url = await parsesFirst();
  const response = await fetch(url, { method: "DELETE", headers, body: '{"why":"no"}' });
  expect(await response.text()).toBe("gone");
  const empty = await fetch(url, { method: "POST", headers });
  expect(await empty.json()).toMatchObject({ code: "MALFORMED_BODY" });
});
