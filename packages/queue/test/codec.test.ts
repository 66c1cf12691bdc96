import type { Payload, PayloadPlace } from "@holdfast/queue";
import { defineTask, encodePayload, handle, memoryStore, queue as makeQueue } from "@holdfast/queue";
import type { BlobStore, PayloadCodec } from "@holdfast/queue/codec";
import { compressed, encrypted, offloaded, PayloadTamperedError, sweepBlobs } from "@holdfast/queue/codec";
import { manualClock } from "@holdfast/core/testing";
import { describe, expect, it } from "vitest";
import { bench, closed, rejection } from "./bench.ts";

const echo = defineTask({ name: "echo", attempts: 1, keepFor: "1m" });
const place: PayloadPlace = { queue: "q", id: "t1", part: "input", name: "echo" };
const payload = encodePayload({ text: "secret", bytes: new Uint8Array([1, 2, 3]) }, 1_000);

function key(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill);
}

/** Blobs in memory. */
function blobs(now: () => number = () => 0) {
  const kept = new Map<string, { readonly bytes: Uint8Array; readonly modifiedAt: number }>();
  const store: BlobStore = {
    put: async (name, bytes) => kept.set(name, { bytes, modifiedAt: now() }),
    get: async (name) => kept.get(name)?.bytes,
    delete: async (name) => kept.delete(name),
    async *list(prefix) {
      for (const [name, { modifiedAt }] of kept) if (name.startsWith(prefix)) yield { key: name, modifiedAt };
    },
  };
  return { kept, store };
}

describe("encrypted", () => {
  const codec = encrypted({ current: "new", keys: { new: key(2), old: key(1) } });

  it("opens what it has sealed, and shows nothing of it but its length", async () => {
    const sealed = await codec.encode(payload, place);
    expect(
      JSON.stringify([sealed.text, ...sealed.blobs.map((blob) => Buffer.from(blob).toString("latin1"))]),
    ).not.toMatch(/secret/);
    expect(await codec.decode(sealed, place)).toEqual(payload);
    const nothing = encodePayload(undefined, 1);
    expect(await codec.decode(await codec.encode(nothing, place), place)).toEqual(nothing);
  });

  it("never seals twice with one nonce", async () => {
    const nonces = await Promise.all(
      Array.from({ length: 100 }, async () => String((await codec.encode(payload, place)).blobs[0])),
    );
    expect(new Set(nonces).size).toBe(100);
  });

  it.each([
    [{ queue: "other" }],
    [{ id: "t2" }],
    [{ name: "pay" }],
    [{ part: "result" as const, name: "" }],
    [{ id: 't1","input' }],
  ])("does not open in another place: %o", async (moved) => {
    const sealed = await codec.encode(payload, place);
    const error = await rejection(Promise.resolve(codec.decode(sealed, { ...place, ...moved })));
    expect(error).toMatchObject({ code: "PAYLOAD_TAMPERED", permanent: true });
  });

  it("finds any byte that was changed, in the nonce, the text and the tag", async () => {
    const sealed = await codec.encode(payload, place);
    for (const [blob, { length }] of sealed.blobs.entries())
      for (let at = 0; at < length; at += 1) {
        const changed = sealed.blobs.map((bytes) => Uint8Array.from(bytes));
        changed[blob]![at]! ^= 1;
        const opening = Promise.resolve(codec.decode({ ...sealed, blobs: changed }, place));
        expect(await rejection(opening)).toBeInstanceOf(PayloadTamperedError);
      }
  });

  it.each([
    [{ text: '["$sealed"', blobs: [] }],
    [{ text: '["$sealed","new"]', blobs: [] }],
    [{ text: '["$sealed","new"]', blobs: [new Uint8Array(11), new Uint8Array(20)] }],
    [{ text: '{"plain":1}', blobs: [] }],
    [{ text: "", blobs: [] }],
  ])("refuses what is no envelope of its own: %o", async (broken: Payload) => {
    expect(await rejection(Promise.resolve(codec.decode(broken, place)))).toMatchObject({
      code: "PAYLOAD_TAMPERED",
    });
  });

  it("opens with older keys, seals with the current one, and names a key that it does not have", async () => {
    const before = encrypted({ current: "old", keys: { old: key(1) } });
    expect(await codec.decode(await before.encode(payload, place), place)).toEqual(payload);
    const sealed = await codec.encode(payload, place);
    expect(sealed.text).toBe('["$sealed","new"]');
    expect(await rejection(Promise.resolve(before.decode(sealed, place)))).toMatchObject({
      code: "PAYLOAD_KEY_UNKNOWN",
      keyId: "new",
      permanent: true,
    });
  });

  it("does not take another key's ID for its own", async () => {
    const sealed = await codec.encode(payload, place);
    const renamed = { ...sealed, text: '["$sealed","old"]' };
    expect(await rejection(Promise.resolve(codec.decode(renamed, place)))).toBeInstanceOf(
      PayloadTamperedError,
    );
  });

  it("takes a CryptoKey that it cannot read", async () => {
    const made = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
      "encrypt",
      "decrypt",
    ]);
    const kms = encrypted({ current: "kms", keys: { kms: made } });
    expect(await kms.decode(await kms.encode(payload, place), place)).toEqual(payload);
  });

  it("accepts payloads that are not sealed only while a queue is being moved", async () => {
    const moving = encrypted({ current: "a", keys: { a: key(1) }, plain: "accept" });
    expect(await moving.decode(payload, place)).toEqual(payload);
  });

  it.each([
    [{ current: "a", keys: {} }, /keys/],
    [{ current: "b", keys: { a: key(1) } }, /current/],
    [{ current: "a", keys: { a: new Uint8Array(16) } }, /keys/],
    [{ current: "a", keys: { a: "text" as never } }, /keys/],
  ])("refuses %o, and shows no key", (options, message) => {
    expect(() => encrypted(options)).toThrow(message);
    expect(() => encrypted({ current: "a", keys: { a: "hunter2" as never } })).not.toThrow(/hunter2/);
  });
});

describe("compressed", () => {
  const codec = compressed({ above: 100, maxBytes: 10_000 });
  const large = encodePayload("abc".repeat(2_000), 100_000);

  it("makes large payloads smaller and leaves small ones alone", async () => {
    expect(await codec.encode(payload, place)).toBe(payload);
    const deflated = await codec.encode(large, place);
    expect(deflated.blobs[0]!.byteLength).toBeLessThan(500);
    expect(await codec.decode(deflated, place)).toEqual(large);
    expect(await codec.decode(payload, place)).toBe(payload);
  });

  it("is not taken in by a value that reads like its envelope", async () => {
    const trick = encodePayload(["$deflated", 1], 1_000);
    expect(await codec.decode(await codec.encode(trick, place), place)).toEqual(trick);
  });

  it("inflates no bomb", async () => {
    const bomb = await compressed({ maxBytes: 100_000_000 }).encode(
      encodePayload("0".repeat(10_000_000), 100_000_000),
      place,
    );
    expect(await rejection(Promise.resolve(codec.decode(bomb, place)))).toMatchObject({
      code: "PAYLOAD_TAMPERED",
    });
  });

  it.each([[[]], [[new Uint8Array([1, 2, 3])]]])("refuses a broken envelope: %o", async (parts) => {
    const broken = { text: '["$deflated"]', blobs: parts };
    expect(await rejection(Promise.resolve(codec.decode(broken, place)))).toMatchObject({
      code: "PAYLOAD_TAMPERED",
    });
  });
});

describe("offloaded", () => {
  it("keeps large payloads elsewhere, and small ones where they are", async () => {
    const { kept, store } = blobs();
    const codec = offloaded({ store, above: 200 });
    expect(await codec.encode(payload, place)).toBe(payload);
    const large = encodePayload({ bytes: new Uint8Array(1_000).fill(7) }, 10_000);
    const outside = await codec.encode(large, place);
    expect(outside).toMatchObject({
      text: expect.stringMatching(/^\["\$offloaded","q\/t1\/input-[\da-f]{32}",/) as string,
      blobs: [],
    });
    expect([...kept.keys()]).toHaveLength(1);
    expect(await codec.decode(outside, place)).toEqual(large);
  });

  it("follows no envelope to the blob of another task, nor to one that was changed or is gone", async () => {
    const { kept, store } = blobs();
    const codec = offloaded({ store, above: 0 });
    const outside = await codec.encode(payload, place);
    const [name] = kept.keys();
    const moved = { ...place, id: "t2" };
    expect(await rejection(Promise.resolve(codec.decode(outside, moved)))).toMatchObject({
      code: "PAYLOAD_TAMPERED",
    });
    const { bytes } = kept.get(name!)!;
    bytes[bytes.length - 1]! ^= 1;
    expect(await rejection(Promise.resolve(codec.decode(outside, place)))).toMatchObject({
      code: "PAYLOAD_TAMPERED",
    });
    kept.delete(name!);
    expect(await rejection(Promise.resolve(codec.decode(outside, place)))).toMatchObject({
      code: "PAYLOAD_LOST",
      permanent: true,
      key: name,
    });
  });

  it("is not taken in by a value that reads like its envelope", async () => {
    const { store } = blobs();
    const codec = offloaded({ store });
    const trick = encodePayload(["$offloaded", "q/t1/input-00", 1, "x"], 1_000);
    expect(await codec.decode(await codec.encode(trick, place), place)).toEqual(trick);
  });

  it("waits no longer than its deadline, nor than its caller", async () => {
    const clock = manualClock();
    const hung: BlobStore = {
      put: () => new Promise(() => {}),
      get: () => new Promise(() => {}),
      delete: async () => {},
    };
    const codec = offloaded({ store: hung, above: 0, deadline: "5s", clock });
    const outside = { text: '["$offloaded","q/t1/input-00",1,"x"]', blobs: [] };
    const getting = rejection(Promise.resolve(codec.decode(outside, place)));
    await clock.advance("5s");
    expect(await getting).toMatchObject({ code: "STORE_UNAVAILABLE", reason: "timeout" });
    const stop = new AbortController();
    const reason = new Error("enough");
    const aborted = rejection(Promise.resolve(codec.encode(payload, place, stop.signal)));
    stop.abort(reason);
    expect(await aborted).toBe(reason);
    const down = offloaded({ store: { ...hung, get: () => Promise.reject(new Error("down")) }, clock });
    expect(await rejection(Promise.resolve(down.decode(outside, place)))).toMatchObject({
      code: "STORE_UNAVAILABLE",
      cause: expect.objectContaining({ message: "down" }) as Error,
    });
  });
});

describe("a queue with codecs", () => {
  it("hides inputs and results from its store, and shows them to handlers and callers", async () => {
    const { kept, store: blobStore } = blobs();
    const codecs = [
      compressed({ above: 500 }),
      encrypted({ current: "k", keys: { k: key(9) } }),
      offloaded({ store: blobStore, above: 300 }),
    ];
    const { queue, store, work } = bench({ codecs, maxPayloadBytes: 400 });
    const noise = crypto.getRandomValues(new Uint8Array(5_000));
    await using _ = work([handle(echo, ({ input }) => ({ secret: input }))]);
    const { id } = await queue.enqueue(echo, { noise, secret: "x" });
    expect(await queue.wait(echo, id)).toEqual({ secret: { noise, secret: "x" } });
    expect(await queue.result(id)).toEqual({ value: { secret: { noise, secret: "x" } } });
    expect((await store.result("bench", id))?.text).toMatch(/^\["\$offloaded"/);
    expect(kept.size).toBe(2);
    const small = await queue.enqueue(echo, "secret");
    expect(await queue.wait(echo, small.id)).toEqual({ secret: "secret" });
    expect((await store.result("bench", small.id))?.text).toBe('["$sealed","k"]');
  });

  it("checks what goes into its store against its limit, and what comes in against that of the codecs", async () => {
    const { store } = blobs();
    const { queue } = bench({
      codecs: [offloaded({ store, above: 1_000, maxBytes: 5_000 })],
      maxPayloadBytes: 600,
    });
    await queue.enqueue(echo, "x".repeat(2_000));
    expect(await rejection(queue.enqueue(echo, "x".repeat(700)))).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      maxBytes: 600,
    });
    expect(await rejection(queue.enqueue(echo, "x".repeat(6_000)))).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      maxBytes: 5_000,
    });
  });

  it("fails a task for good whose payload was tampered with, although it has tries left", async () => {
    const codecs = [encrypted({ current: "k", keys: { k: key(9) } })];
    const { queue, store, clock, work } = bench({ codecs });
    const other = makeQueue({ name: "bench", store, clock });
    const retried = defineTask<string, string, string>({ name: "echo", attempts: 5 });
    const { id } = await other.enqueue(retried, "forged");
    const working = work([handle(retried, ({ input }) => input)]);
    expect(await rejection(queue.wait(retried, id))).toMatchObject({ code: "TASK_FAILED" });
    expect(await queue.status(id)).toMatchObject({
      state: "failed",
      attempt: 1,
      error: { code: "PAYLOAD_TAMPERED" },
    });
    await closed(working, clock);
  });

  it("works on in the codecs' order, and back", async () => {
    const seen: string[] = [];
    const named = (name: string): PayloadCodec => ({
      name,
      encode: (given) => (seen.push(`+${name}`), given),
      decode: (given) => (seen.push(`-${name}`), given),
    });
    const { queue } = bench({ codecs: [named("a"), named("b")] });
    const sealed = await queue.payloads.write(1, { id: "t", part: "checkpoint", name: "step" });
    expect(await queue.payloads.read(sealed, { id: "t", part: "checkpoint", name: "step" })).toBe(1);
    expect(seen).toEqual(["+a", "+b", "-b", "-a"]);
  });

  it.each([[{}], [[{}]], [[undefined]], [Array.from({ length: 11 }, () => compressed())]])(
    "refuses %o as codecs",
    (codecs) => {
      expect(() => makeQueue({ name: "q", store: memoryStore(), codecs: codecs as never })).toThrow(/codecs/);
    },
  );
});

describe("sweepBlobs", () => {
  it("deletes the blobs of tasks that are forgotten or never came, and no others", async () => {
    const clock = manualClock();
    const { kept, store } = blobs(() => clock.now());
    const { queue, work } = bench({ clock, codecs: [offloaded({ store, above: 0, clock })] });
    const foreign = { bytes: new Uint8Array(), modifiedAt: 0 };
    kept.set("other/t/input-00", foreign).set("bench/odd", foreign);
    const live = await queue.enqueue(echo, 1, { delay: "7d" });
    const done = await queue.enqueue(echo, 2);
    const twice = await queue.enqueue(echo, 3, { dedupKey: "k", delay: "7d" });
    await queue.enqueue(echo, 4, { dedupKey: "k" });
    await using _ = work([handle(echo, ({ input }) => input)]);
    await queue.wait(echo, done.id);
    expect(await sweepBlobs({ queue, store })).toEqual({ seen: 5, deleted: 0 });
    await clock.advance("2h");
    const young = await queue.enqueue(echo, 5, { delay: "7d" });
    expect(await sweepBlobs({ queue, store })).toEqual({ seen: 6, deleted: 3 });
    const left = new Set([...kept.keys()].map((name) => name.split("/")[1]));
    expect(left).toEqual(new Set(["t", "odd", live.id, twice.id, young.id]));
  });

  it("refuses a store that cannot list, and stops when it is told to", async () => {
    const { store } = blobs();
    const { queue } = bench({ codecs: [offloaded({ store, above: 0 })] });
    const { list: _, ...mute } = store;
    expect(await rejection(sweepBlobs({ queue, store: mute }))).toMatchObject({ code: "INVALID_OPTION" });
    await queue.enqueue(echo, 1);
    const reason = new Error("enough");
    expect(await rejection(sweepBlobs({ queue, store, signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});
