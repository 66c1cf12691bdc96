// A worker thread: serves the models. Everything that takes long happens here.
import type { ModelContext } from "@holdfast/gpu-pool/worker-threads";
import { serveModels } from "@holdfast/gpu-pool/worker-threads";
import { decode, toPng } from "./image/codec.ts";
import { denoise } from "./image/denoise.ts";
import type { Checkpoint, Raster } from "./image/raster.ts";
import { stylize } from "./image/stylize.ts";
import { upscale } from "./image/upscale.ts";
import { renderPrompt } from "./render/landscape.ts";
import type { DenoiseJob, Progress, RenderJob, StyleJob, Upload, UpscaleJob } from "./work/operation.ts";

/** Share of the work that is done before the picture is encoded. */
const BEFORE_ENCODING = 0.95;

serveModels({
  "inspect@1": ({ bytes, type }: Upload) => {
    const { width, height } = decode(bytes, type);
    return { width, height };
  },
  "upscale@1": ({ upload, factor }: UpscaleJob, context: ModelContext) =>
    paint(context, (checkpoint) => upscale(decode(upload.bytes, upload.type), factor, checkpoint)),
  "denoise@1": ({ upload, strength }: DenoiseJob, context: ModelContext) =>
    paint(context, (checkpoint) => denoise(decode(upload.bytes, upload.type), strength, checkpoint)),
  "style@1": ({ upload, style }: StyleJob, context: ModelContext) =>
    paint(context, (checkpoint) => stylize(decode(upload.bytes, upload.type), style, checkpoint)),
  "landscape@1": ({ prompt, width, height }: RenderJob, context: ModelContext) =>
    paint(context, (checkpoint) => renderPrompt(prompt, width, height, checkpoint)),
});

async function paint(
  { progress, checkpoint }: ModelContext,
  work: (checkpoint: Checkpoint) => Promise<Raster>,
): Promise<Uint8Array> {
  const report = (done: number): void => progress({ done } satisfies Progress);
  report(0);
  const raster = await work((done) => {
    report(done * BEFORE_ENCODING);
    return checkpoint();
  });
  const png = toPng(raster);
  report(1);
  return png;
}
