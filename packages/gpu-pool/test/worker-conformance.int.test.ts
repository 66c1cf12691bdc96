import { execFileSync } from "node:child_process";
import type { WorkerAdapter } from "@holdfast/gpu-pool";
import { childProcesses } from "@holdfast/gpu-pool/child-processes";
import { cpuDevices } from "@holdfast/gpu-pool/discovery";
import type { ComfyUiOutput, ServersOptions } from "@holdfast/gpu-pool/servers";
import { comfyUiServers, kserveServers, ollamaServers, openAiServers } from "@holdfast/gpu-pool/servers";
import type { WorkerSubject } from "@holdfast/gpu-pool/testing";
import { workerConformance } from "@holdfast/gpu-pool/testing";
import { workerThreads } from "@holdfast/gpu-pool/worker-threads";
import { afterEach, describe, it } from "vitest";
import { WebSocket } from "ws";
import { ComfyUiServer } from "./fixtures/comfyui-server.ts";
import { modelServer } from "./fixtures/model-servers.ts";

const runner = { describe, it: (title: string, body: () => Promise<void>) => it(title, body, 60_000) };
const module = new URL("./fixtures/conformance-models.mjs", import.meta.url);
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close().catch(() => {});
});

const served: Omit<WorkerSubject, "make"> = {
  model: "known",
  input: (number) => ({ act: "double", number }),
  isAnswer: (output, number) => output === number * 2,
  bad: { input: { act: "refuse" } },
  endless: { input: { act: "hang" } },
  streamed: { input: { act: "count" } },
  fatal: { input: { act: "exit" } },
  measures: true,
  refusesUnknown: true,
};

describe("worker threads", () => {
  workerConformance(runner, { ...served, make: () => workerThreads({ module, count: 2 }) });
});

/** In the command line of each process, so that they can be counted. */
const mark = `holdfast-conformance-${process.pid}`;
const processes = {
  ...served,
  leftovers: () => execFileSync("ps", ["-A", "-o", "args="], { encoding: "utf8" }).split(mark).length - 1,
};

describe("child processes", () => {
  workerConformance(runner, {
    ...processes,
    make: () => childProcesses({ module, devices: 2, execArgv: [`--title=${mark}`] }),
  });
});

describe("child processes on the devices that cpuDevices finds", () => {
  workerConformance(runner, {
    ...processes,
    make: () => childProcesses({ module, devices: cpuDevices(2), execArgv: [`--title=${mark}`] }),
  });
});

/** No request takes a server down: a connection that breaks costs only what it carried. */
const noSuchInput = false;

/** An adapter for a server of its own. */
const over =
  (kind: "kserve" | "ollama" | "openai", adapter: (options: ServersOptions) => WorkerAdapter) =>
  async (): Promise<WorkerAdapter> => {
    const server = await modelServer(kind);
    closing.push(() => server.stop());
    return adapter({ devices: [{ id: "server-0", url: server.url, capacity: 8, memoryBytes: 1e10 }] });
  };

describe("KServe servers", () => {
  const input = (number: number, fault = "none"): unknown => ({
    inputs: [{ name: "in", shape: [1], datatype: "FP32", data: [number], parameters: { fault } }],
  });
  workerConformance(runner, {
    make: over("kserve", kserveServers),
    model: "known",
    input,
    isAnswer: (output, number) =>
      (output as { outputs: [{ data: readonly number[] }] }).outputs[0].data[0] === number * 2,
    bad: { input: input(0, "refuse") },
    endless: { input: input(0, "hang") },
    // The protocol has no answers in parts over HTTP.
    streamed: false,
    fatal: noSuchInput,
    // The stand-in loads any name but one.
    refusesUnknown: false,
  });
});

describe("Ollama servers", () => {
  const input = (content: string, fault = "none"): unknown => ({
    messages: [{ role: "user", content }],
    options: { fault },
  });
  workerConformance(runner, {
    make: over("ollama", ollamaServers),
    model: "known",
    input: (number) => input(`answer-${number}`),
    isAnswer: (output, number) =>
      (output as { message: { content: string } }).message.content === `answer-${number}`,
    bad: { input: input("", "refuse") },
    endless: { input: input("", "hang") },
    streamed: { input: input("one two three") },
    fatal: noSuchInput,
    measures: true,
    // The stand-in loads any name but one.
    refusesUnknown: false,
  });
});

describe("OpenAI servers", () => {
  const input = (content: string, user = "none"): object => ({ messages: [{ role: "user", content }], user });
  workerConformance(runner, {
    make: over("openai", openAiServers),
    model: "known",
    input: (number) => input(`answer-${number}`),
    isAnswer: (output, number) =>
      (output as { choices: [{ message: { content: string } }] }).choices[0].message.content ===
      `answer-${number}`,
    bad: { input: input("", "refuse") },
    endless: { input: input("", "hang") },
    streamed: { input: { ...input("one two three"), stream: true } },
    fatal: noSuchInput,
    refusesUnknown: true,
  });
});

describe("ComfyUI servers", () => {
  const workflow = (class_type: string, inputs: object = {}): unknown => ({
    prompt: { 1: { class_type, inputs } },
  });
  workerConformance(runner, {
    make: async () => {
      const server = await ComfyUiServer.start("new");
      closing.push(() => server.stop());
      return comfyUiServers({
        devices: [{ id: "comfy-0", url: server.url, capacity: 2 }],
        webSocket: (url) => new WebSocket(url),
        pollEvery: 100,
      });
    },
    model: "flux",
    input: (number) => workflow("SaveImage", { name: `picture-${number}.png` }),
    isAnswer: (output, number) => (output as ComfyUiOutput).files[0]?.filename === `picture-${number}.png`,
    bad: { input: workflow("Fail") },
    endless: { input: workflow("Hang") },
    streamed: { input: workflow("SaveImage", { name: "streamed.png" }) },
    // A server that goes away may come back with what it has queued: its workers wait for it.
    fatal: false,
    // Models are part of a workflow.
    refusesUnknown: false,
  });
});
