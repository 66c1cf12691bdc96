// The models, by name: what the pool registers and the threads serve.
import type { Model } from "@holdfast/gpu-pool";
import { defineModel } from "@holdfast/gpu-pool";
import type { DenoiseJob, Job, RenderJob, StyleJob, Upload, UpscaleJob } from "./operation.ts";

/** Decodes a picture and answers its size; fails when it is broken. */
export const inspect: Model<Upload, { readonly width: number; readonly height: number }> = defineModel({
  name: "inspect",
});

/** Each answers a PNG. */
export const upscaler: Model<UpscaleJob, Uint8Array> = defineModel({ name: "upscale" });
export const denoiser: Model<DenoiseJob, Uint8Array> = defineModel({ name: "denoise" });
export const stylist: Model<StyleJob, Uint8Array> = defineModel({ name: "style" });
export const landscaper: Model<RenderJob, Uint8Array> = defineModel({ name: "landscape" });

/** The model that does a job. */
export function modelFor(job: Job): Model<never, Uint8Array> {
  switch (job.op) {
    case "upscale":
      return upscaler;
    case "denoise":
      return denoiser;
    case "style":
      return stylist;
    case "render":
      return landscaper;
  }
}
