// @holdfast/queue/blobs: a store of blobs in a folder.
export { fileBlobs } from "./file-blobs.ts";
export type { FileBlobsOptions } from "./file-blobs.ts";
