// A port that is taken is no reason not to start.
import type { Handler } from "@holdfast/core";
import type { RunningServer, ServeOptions } from "@holdfast/core/node";
import { serve } from "@holdfast/core/node";

/** Serves on the port asked for, or on the next one above it that is free, `further` of them at most. */
export async function serveOnFreePort(
  handler: Handler,
  further: number,
  options: ServeOptions & { readonly port: number },
): Promise<RunningServer> {
  const last = Math.min(65_535, options.port + further);
  for (let port = options.port; ; port += 1) {
    try {
      return await serve(handler, { ...options, port });
    } catch (error) {
      const isTaken = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
      if (!isTaken || port >= last) throw error;
    }
  }
}
