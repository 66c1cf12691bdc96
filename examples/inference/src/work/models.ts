// The models, by name: what the pool registers and the threads serve.
import type { Model } from "@holdfast/gpu-pool";
import { defineModel } from "@holdfast/gpu-pool";
import { MAX_UPLOADS_TOGETHER } from "../limits.ts";
import type { DenoiseJob, Job, RenderJob, StyleJob, Upload, UpscaleJob } from "./operation.ts";

/** Decodes a picture and answers its size; fails when it is broken. */
export const inspect: Model<Upload, { readonly width: number; readonly height: number }> = defineModel({
  name: "inspect",
  memoryBytes: 64_000_000,
  // Small work in large numbers: what comes within a few milliseconds goes over to the thread together.
  maxBatch: MAX_UPLOADS_TOGETHER,
  maxDelay: 5,
});

/** Each answers a PNG. Their memory is reckoned for the largest picture, in and out. */
export const upscaler: Model<UpscaleJob, Uint8Array> = defineModel({
  name: "upscale",
  memoryBytes: 160_000_000,
});
export const denoiser: Model<DenoiseJob, Uint8Array> = defineModel({
  name: "denoise",
  memoryBytes: 96_000_000,
});
export const stylist: Model<StyleJob, Uint8Array> = defineModel({ name: "style", memoryBytes: 96_000_000 });
export const landscaper: Model<RenderJob, Uint8Array> = defineModel({
  name: "landscape",
  memoryBytes: 48_000_000,
});

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
