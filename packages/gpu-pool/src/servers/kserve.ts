// Servers that speak the Open Inference Protocol (KServe v2), such as Triton, with its model repository extension.
import { optionsOf } from "@holdfast/core";
import type { ModelRef } from "../model.ts";
import type { WorkerAdapter } from "../worker.ts";
import type { ServerCall, ServersOptions } from "./http-worker.ts";
import { answerOf, refusalOf, serverAdapter, textOf } from "./http-worker.ts";

export interface KServeOptions extends ServersOptions {
  /**
   * Whether models are loaded and unloaded through `/v2/repository`, as Triton does in its explicit mode. Otherwise they
   * have to be there. @defaultValue true
   */
  readonly repository?: boolean;
}

/**
 * Inputs are inference requests of the protocol, `{ inputs: [{ name, shape, datatype, data }], parameters? }`; outputs
 * are its responses.
 */
export function kserveServers(options: KServeOptions): WorkerAdapter {
  const check = optionsOf("kserve servers");
  const isManaged = check.boolean("repository", check.object("options", options).repository, true);
  return serverAdapter(
    {
      kind: "kserve",
      ready: async (call, signal) => {
        await ok("server", await call("GET", "/v2/health/ready", undefined, signal));
      },
      load: async (call, model, _ref, signal) => {
        if (isManaged) await change(call, model, "load", signal);
        await ok(
          model,
          await call("GET", `/v2/models/${encodeURIComponent(model)}/ready`, undefined, signal),
        );
      },
      unload: async (call, model, _ref, signal) => {
        if (isManaged) await change(call, model, "unload", signal);
      },
      run: async (call, model, ref, input, signal) =>
        answerOf(model, await call("POST", inferPath(model, ref), input, signal)),
    },
    options,
  );
}

/** Version 1 is what servers have that know none. */
function inferPath(model: string, { version }: ModelRef): string {
  const versioned = version === "1" ? "" : `/versions/${encodeURIComponent(version)}`;
  return `/v2/models/${encodeURIComponent(model)}${versioned}/infer`;
}

async function change(
  call: ServerCall,
  model: string,
  what: "load" | "unload",
  signal: AbortSignal,
): Promise<void> {
  const path = `/v2/repository/models/${encodeURIComponent(model)}/${what}`;
  await ok(model, await call("POST", path, {}, signal));
}

async function ok(model: string, response: Response): Promise<void> {
  const text = await textOf(model, response);
  if (!response.ok) throw refusalOf(model, response, text);
}
