// What can be asked for, and what a task and a model know of it.
import type { Style } from "../image/stylize.ts";
import type { ImageHeader } from "../image/header.ts";

/** A picture as it came in: still encoded. */
export interface Upload {
  readonly type: ImageHeader["type"];
  readonly bytes: Uint8Array;
}

export interface UpscaleJob {
  readonly op: "upscale";
  readonly upload: Upload;
  /** 2, 3 or 4. */
  readonly factor: number;
}

export interface DenoiseJob {
  readonly op: "denoise";
  readonly upload: Upload;
  /** Grey levels of noise to remove, 5 to 40. */
  readonly strength: number;
}

export interface StyleJob {
  readonly op: "style";
  readonly upload: Upload;
  readonly style: Style;
}

export interface RenderJob {
  readonly op: "render";
  readonly prompt: string;
  readonly width: number;
  readonly height: number;
}

export type Job = UpscaleJob | DenoiseJob | StyleJob | RenderJob;

/** What may be done with a picture. */
export const IMAGE_OPERATIONS = ["upscale", "denoise", "style"] as const;

export type ImageOperation = (typeof IMAGE_OPERATIONS)[number];

/** What a model reports while it runs. */
export interface Progress {
  /** Share of the work, 0 to 1. */
  readonly done: number;
}
