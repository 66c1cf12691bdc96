// What a dead letter was given: read as its handler would have been given it.
import { encodePayload, handle, memoryStore, queue as makeQueue, TaskNotFoundError } from "@holdfast/queue";
import { defineTask, PermanentError } from "@holdfast/queue";
import { encrypted } from "@holdfast/queue/codec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { bench, rejection } from "./bench.ts";

const old = defineTask<{ name: string }>({ name: "greet" });
const newest = defineTask({
  name: "greet",
  version: 2,
  input: z.object({ first: z.string(), loud: z.boolean().default(false) }),
  upcast: { 1: ({ name }: { name: string }) => ({ first: name }) },
});

describe("the input of a task", () => {
  it("is there while the task lives and once it has failed, and no longer when it has completed or was cancelled", async () => {
    const { queue, work } = bench();
    const task = defineTask<{ ok: boolean; bytes: Uint8Array }>({ name: "t" });
    const bytes = new Uint8Array([1, 2]);
    const dead = await queue.enqueue(task, { ok: false, bytes });
    const done = await queue.enqueue(task, { ok: true, bytes });
    expect(await queue.input(task, done.id)).toEqual({ value: { ok: true, bytes } });
    await using _ = work([
      handle(task, ({ input }) => {
        if (!input.ok) throw new PermanentError("no");
      }),
    ]);
    await rejection(queue.wait(task, dead.id));
    await queue.wait(task, done.id);
    expect(await queue.input(task, dead.id)).toEqual({ value: { ok: false, bytes } });
    expect(await queue.input(task, done.id)).toBeUndefined();
    const gone = await queue.enqueue(task, { ok: true, bytes }, { delay: "1h" });
    await queue.cancel(gone.id);
    expect(await queue.input(task, gone.id)).toBeUndefined();
    expect(await rejection(queue.input(task, "unknown"))).toBeInstanceOf(TaskNotFoundError);
  });

  it("is brought to the version of the definition and checked by its schema, as for a handler", async () => {
    const { queue } = bench();
    const { id } = await queue.enqueue(old, { name: "Ada" });
    expect(await queue.input(newest, id)).toEqual({ value: { first: "Ada", loud: false } });
    expect(await queue.input(old, id)).toEqual({ value: { name: "Ada" } });
    const bad = await queue.enqueue(old, { name: 7 as never });
    expect(await rejection(queue.input(newest, bad.id))).toMatchObject({ code: "INVALID_PAYLOAD" });
    const next = await queue.enqueue(newest, { first: "Alan" });
    expect(await rejection(queue.input(old, next.id))).toMatchObject({ code: "PAYLOAD_VERSION" });
  });

  it("goes through the codecs, which tell when it cannot be read; as it is stored it is sealed", async () => {
    const store = memoryStore();
    const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
    const sealed = (id: string) => encrypted({ current: id, keys: { [id]: key(1) } });
    const secrets = makeQueue({ name: "secrets", store, codecs: [sealed("a")] });
    const { id } = await secrets.enqueue(old, { name: "hidden" });
    expect(await secrets.input(old, id)).toEqual({ value: { name: "hidden" } });
    const raw = await store.input("secrets", id);
    expect(raw?.name).toBe("greet");
    expect(raw?.input.text).not.toContain("hidden");
    const stranger = makeQueue({ name: "secrets", store, codecs: [sealed("b")] });
    expect(await rejection(stranger.input(old, id))).toMatchObject({ code: "PAYLOAD_KEY_UNKNOWN" });
    await store.close();
  });

  it("is not read with the definition of another task", async () => {
    const { queue } = bench();
    const { id } = await queue.enqueue(old, { name: "Ada" });
    expect(await rejection(queue.input(defineTask({ name: "pay" }), id))).toMatchObject({
      code: "WRONG_TASK",
      taskId: id,
      task: "greet",
      expected: "pay",
    });
    expect(await queue.store.input(queue.name, id)).toEqual({
      name: "greet",
      input: encodePayload({ name: "Ada" }, 100),
    });
  });
});
