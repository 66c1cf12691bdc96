import { problemResponse } from "@holdfast/core";
import type { GpuPool, GpuPoolOptions, WorkerAdapter } from "@holdfast/gpu-pool";
import { gpuPool } from "@holdfast/gpu-pool";
import type { ServersOptions } from "@holdfast/gpu-pool/servers";
import { kserveServers, ollamaServers, openAiServers } from "@holdfast/gpu-pool/servers";
import { afterEach, describe, expect, it } from "vitest";
import type { Fault, ModelServer } from "./fixtures/model-servers.ts";
import { modelServer, OLLAMA_MODEL_BYTES } from "./fixtures/model-servers.ts";

interface Case {
  readonly kind: "kserve" | "ollama" | "openai";
  readonly adapter: (options: ServersOptions) => WorkerAdapter;
  /** An input that comes to something, and what the answer must contain. */
  readonly input: (fault: Fault) => unknown;
  readonly answer: unknown;
  readonly refusal: string;
  readonly loads: readonly string[];
  /** What a run asks. */
  readonly asks: string;
  /** How often that is asked to see whether the server is there, after a break. */
  readonly more: number;
}

const cases: readonly Case[] = [
  {
    kind: "kserve",
    adapter: kserveServers,
    input: (fault) => ({
      inputs: [{ name: "in", shape: [2], datatype: "FP32", data: [1, 2], parameters: { fault } }],
    }),
    answer: { model_name: "known", outputs: [{ data: [2, 4] }] },
    refusal: "CUDA kernel not found",
    loads: ["POST /v2/repository/models/known/load", "GET /v2/models/known/ready"],
    asks: "POST /v2/models/known/infer",
    more: 0,
  },
  {
    kind: "ollama",
    adapter: ollamaServers,
    input: (fault) => ({ prompt: "one two", options: { fault } }),
    answer: { response: "onetwo", done: true, eval_count: 3 },
    refusal: "llama runner process has terminated",
    loads: ["POST /api/generate"],
    asks: "POST /api/generate",
    more: 3,
  },
  {
    kind: "openai",
    adapter: openAiServers,
    input: (fault) => ({ messages: [{ role: "user", content: "one two" }], user: fault }),
    answer: { choices: [{ message: { content: "one two" } }] },
    refusal: "the server is overloaded",
    loads: ["GET /v1/models"],
    asks: "POST /v1/chat/completions",
    more: 0,
  },
];

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function open(
  { kind, adapter }: Case,
  options: Partial<GpuPoolOptions> = {},
  more: Partial<ServersOptions> = {},
): Promise<{ pool: GpuPool; server: ModelServer }> {
  const server = await modelServer(kind);
  const workers = adapter({ devices: [{ id: "server-0", url: server.url, capacity: 8 }], ...more });
  const pool = gpuPool({ workers, models: [{ name: "known" }], ...options });
  closing.push(
    () => pool.close({ within: 0 }),
    () => server.stop().catch(() => {}),
  );
  return { pool, server };
}

describe.each(cases)("$kind servers", (one) => {
  it("fail a request whose answer is larger than allowed, and that one alone", async () => {
    const { pool } = await open(one, {}, { maxAnswerBytes: 5_000 });
    const failed = expect.objectContaining({ code: "MODEL_FAILED", reason: "TOO_LARGE" });
    const [large, small] = await Promise.allSettled([
      pool.run("known", one.input("large")),
      pool.run("known", one.input("none")),
    ]);
    expect(large).toEqual({ status: "rejected", reason: failed });
    expect(small.status).toBe("fulfilled");
    expect(pool.snapshot().devices[0]).toMatchObject({ status: "up" });
  });

  it("are refused without a URL that can be asked", () => {
    for (const url of [undefined, "", "nonsense", "ftp://10.0.0.5"])
      expect(() => one.adapter({ devices: [{ id: "server-0", url: url as string, capacity: 1 }] })).toThrow(
        expect.objectContaining({ code: "INVALID_OPTION", message: expect.stringContaining("url") }),
      );
    expect(() => one.adapter({} as ServersOptions)).toThrow(/devices/);
  });

  it("are refused with options that cannot be, and never by a TypeError", () => {
    const devices = [{ id: "server-0", url: "http://10.0.0.5", capacity: 1 }];
    const refused = (options: unknown, option: string): void =>
      expect(() => one.adapter(options as ServersOptions)).toThrow(
        expect.objectContaining({ code: "INVALID_OPTION", option: expect.stringContaining(option) }),
      );
    for (const options of [undefined, null, 5]) refused(options, "options");
    for (const wrong of [{}, { device: devices }, { devices: {} }, { devices: [null] }, { devices: ["a"] }])
      refused(wrong, "devices");
    refused({ devices, headers: "secret" }, "headers");
    refused({ devices, modelName: "known" }, "modelName");
    refused({ devices, fetch: {} }, "fetch");
  });

  it("are asked whether they are there, load the model, and answer", async () => {
    const { pool, server } = await open(one);
    expect(await pool.run("known", one.input("none"))).toMatchObject(one.answer as object);
    expect(server.log.slice(1, 1 + one.loads.length)).toEqual(one.loads);
  });

  it("run as many requests at a time as they may", async () => {
    const { pool } = await open(one);
    const answers = await Promise.all(Array.from({ length: 30 }, () => pool.run("known", one.input("none"))));
    expect(answers).toHaveLength(30);
  });

  it("hand on when to come back when they are busy", async () => {
    const { pool } = await open(one);
    const error = await pool.run("known", one.input("busy")).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "MODEL_FAILED", reason: "HTTP_429", retryAfterMs: 7_000 });
    const answer = problemResponse(error);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "7"]);
    expect(pool.snapshot().devices[0]).toMatchObject({ status: "up", failuresInARow: 0 });
  });

  it("fail a request alone that they refuse, in their own words, or answer with nonsense", async () => {
    const { pool } = await open(one);
    await expect(pool.run("known", one.input("refuse"))).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "HTTP_500",
      message: one.refusal,
    });
    await expect(pool.run("known", one.input("garbage"))).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "BAD_ANSWER",
    });
    expect(await pool.run("known", one.input("none"))).toMatchObject(one.answer as object);
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });

  it("see the connection closed when a request is taken back", async () => {
    const { pool, server } = await open(one);
    await pool.ready();
    const stop = new AbortController();
    const answer = pool.run("known", one.input("hang"), { signal: stop.signal });
    await expect.poll(() => pool.snapshot().running).toBe(1);
    await expect.poll(() => server.log.length).toBeGreaterThan(one.loads.length + 1);
    stop.abort("enough");
    await expect(answer).rejects.toBe("enough");
    await expect.poll(() => server.abandoned()).toBe(1);
    await expect.poll(() => pool.snapshot().running).toBe(0);
  });

  it("that break off one answer fail that request alone, at its second try", async () => {
    const { pool, server } = await open(one);
    const healthy = [1, 2, 3].map(() => pool.run("known", one.input("slow")));
    const asked = (): number => server.log.filter((line) => line === one.asks).length;
    await expect.poll(asked).toBe(3 + (one.kind === "ollama" ? 1 : 0));
    const before = asked();
    await expect(pool.run("known", one.input("cut"))).rejects.toMatchObject({
      code: "WORKER_CRASHED",
      device: "server-0",
      model: "known@1",
    });
    expect(await pool.run("known", one.input("cut once"))).toMatchObject(one.answer as object);
    expect(await Promise.all(healthy)).toMatchObject(healthy.map(() => one.answer));
    expect(asked() - before).toBe(4 + one.more);
    expect(pool.snapshot()).toMatchObject({
      devices: [{ status: "up", failuresInARow: 0 }],
      ended: { succeeded: 4, crashed: 1 },
    });
  });

  it("are well whatever they say about a bad request, also with a text of its own", async () => {
    const { pool } = await open(one);
    await expect(pool.run("known", one.input("blame"))).rejects.toMatchObject({
      reason: "HTTP_400",
      message: /GPU is lost/,
    });
    await expect(pool.run("known", { ...(one.input("none") as object), seed: 1n })).rejects.toMatchObject({
      code: "MODEL_FAILED",
      reason: "TypeError",
      message: /BigInt/,
    });
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
    expect(await pool.run("known", one.input("none"))).toMatchObject(one.answer as object);
  });

  it("[server#4023] that have too little memory are asked once more, and then it is said so", async () => {
    const { pool } = await open(one);
    expect(await pool.run("known", one.input("oom once"))).toMatchObject(one.answer as object);
    await expect(pool.run("known", one.input("oom"))).rejects.toMatchObject({
      code: "OUT_OF_MEMORY",
      device: "server-0",
      model: "known@1",
      cause: { reason: "HTTP_500", message: /2.00 GiB/ },
    });
    expect(pool.snapshot().devices).toMatchObject([{ status: "up", failuresInARow: 0 }]);
  });

  it("that are stopped are down until they listen again", async () => {
    const { pool, server } = await open(one);
    await pool.run("known", one.input("none"));
    await server.stop();
    await expect(pool.run("known", one.input("none"))).rejects.toMatchObject({ code: "WORKER_CRASHED" });
    await server.restart();
    expect(await pool.run("known", one.input("none"))).toMatchObject(one.answer as object);
  });

  it("that do not have the model stay down, and say why", async () => {
    const { pool } = await open(one, { models: [{ name: "unknown" }] });
    await expect.poll(() => pool.snapshot().devices[0]!.lastFailure).toMatch(/unknown/);
  });

  it("are sent the headers that were given", async () => {
    const seen: (string | null)[] = [];
    const { pool } = await open(
      one,
      {},
      {
        headers: { authorization: "Bearer 1" },
        fetch: (input, init) => {
          seen.push(new Headers(init?.headers).get("authorization"));
          return fetch(input, init);
        },
      },
    );
    await pool.run("known", one.input("none"));
    expect(new Set(seen)).toEqual(new Set(["Bearer 1"]));
  });
});

describe("answers that come bit by bit", () => {
  it.each([
    ["ollama", { prompt: "one two three" }, { response: "onetwothree" }],
    ["ollama", { messages: [{ role: "user", content: "a b c" }] }, { message: { content: "abc" } }],
    [
      "openai",
      { messages: [{ role: "user", content: "one two three" }], stream: true },
      { text: "onetwothree", finishReason: "stop", usage: { total_tokens: 5 } },
    ],
  ] as const)("are progress piece by piece: %s, %j", async (kind, input, answer) => {
    const { pool } = await open(cases.find((one) => one.kind === kind)!);
    const pieces: unknown[] = [];
    expect(await pool.run("known", input, { onProgress: (piece) => pieces.push(piece) })).toMatchObject(
      answer,
    );
    expect(pieces).toHaveLength(3);
  });

  it("keep what a model thinks, and the tools that it calls", async () => {
    const pieces: unknown[] = [];
    const options = { onProgress: (piece: unknown) => pieces.push(piece) };
    const input = { messages: [{ role: "user", content: "Where?" }], tools: [{}] };
    const ollama = await open(cases[1]!);
    expect(await ollama.pool.run("known", input, options)).toMatchObject({
      message: {
        content: "",
        thinking: "It is cold.",
        tool_calls: ["Oslo", "Bergen"].map((city) => ({
          function: { name: "weather", arguments: { city } },
        })),
      },
      done: true,
    });
    const openai = await open(cases[2]!);
    expect(await openai.pool.run("known", { ...input, stream: true }, options)).toEqual({
      text: "",
      finishReason: "tool_calls",
      toolCalls: [
        { id: "c0", type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
        { id: "c1", type: "function", function: { name: "time", arguments: '{"at":1}' } },
      ],
    });
    expect(pieces).toEqual([]);
  });

  it("are no answer when they have no end", async () => {
    const { pool } = await open(cases[2]!);
    await expect(
      pool.run("known", { messages: [{ content: "a" }], stream: true, user: "garbage" }),
    ).rejects.toMatchObject({ reason: "BAD_ANSWER" });
  });
});

describe("other endpoints", () => {
  it("embeddings are asked for by their input", async () => {
    const ollama = await open(cases[1]!);
    expect(await ollama.pool.run("known", { input: ["text"] })).toMatchObject({ embeddings: [[1, 2, 3]] });
    const openai = await open(cases[2]!);
    expect(await openai.pool.run("known", { input: "text" })).toMatchObject({ object: "list" });
  });

  it("a model that only embeds is loaded by the endpoint that it has", async () => {
    const { pool, server } = await open(cases[1]!, { models: [{ name: "embedder" }, { name: "known" }] });
    expect(await pool.run("embedder", { input: "text" })).toMatchObject({ embeddings: [[1, 2, 3]] });
    expect(await pool.run("known", cases[1]!.input("none"))).toMatchObject({ response: "onetwo" });
    expect([...server.loaded]).toEqual(["embedder", "known"]);
    await pool.close({ within: "1s" });
    expect([...server.loaded]).toEqual([]);
  });

  it("models are unloaded when another needs their memory, and when the pool closes", async () => {
    const server = await modelServer("ollama");
    closing.push(() => server.stop());
    const pool = gpuPool({
      workers: ollamaServers({ devices: [{ id: "o", url: server.url, capacity: 1, memoryBytes: 10e9 }] }),
      models: [
        { name: "first", memoryBytes: 6e9 },
        { name: "second", memoryBytes: 6e9 },
      ],
    });
    await pool.ready();
    expect([...server.loaded]).toEqual(["first"]);
    await pool.run("second", { prompt: "x" });
    expect([...server.loaded]).toEqual(["second"]);
    await pool.close({ within: "1s" });
    expect([...server.loaded]).toEqual([]);
  });

  it("what others have loaded on an Ollama server is left alone, and its memory used once it is free", async () => {
    const server = await modelServer("ollama");
    closing.push(() => server.stop());
    const devices = [{ id: "o", url: server.url, capacity: 1, memoryBytes: 12e9 }];
    const pool = gpuPool({ workers: ollamaServers({ devices }), heartbeat: 20 });
    closing.push(() => pool.close({ within: 0 }));
    pool.addModel({ name: "known", memoryBytes: OLLAMA_MODEL_BYTES });
    pool.addModel({ name: "second", memoryBytes: OLLAMA_MODEL_BYTES });
    await pool.run("known", { prompt: "x" });
    const lease = await pool.acquire("known");
    const memory = (): unknown => {
      const [{ usedBytes, foreignBytes } = {}] = pool.snapshot().devices;
      return { usedBytes, foreignBytes };
    };
    server.others.set("theirs", 5e9);
    await expect.poll(memory).toEqual({ usedBytes: 9e9, foreignBytes: 5e9 });
    const answer = pool.run("second", { prompt: "x" });
    const asked = server.log.length;
    // Twice, so that one was asked after ours.
    await expect
      .poll(() => server.log.slice(asked).filter((line) => line.endsWith("/ps")).length)
      .toBeGreaterThan(1);
    expect([...server.loaded]).toEqual(["known"]);
    server.others.clear();
    expect(await answer).toMatchObject({ response: "x" });
    await expect.poll(memory).toEqual({ usedBytes: 8e9, foreignBytes: 0 });
    lease.release();
  });

  it("a version that is not the first is asked for by its number", async () => {
    const { pool, server } = await open(cases[0]!, { models: [{ name: "known", version: "3" }] });
    expect(await pool.run("known@3", cases[0]!.input("none"))).toMatchObject({ model_version: "3" });
    expect(server.log.at(-1)).toBe("POST /v2/models/known/versions/3/infer");
  });
});
