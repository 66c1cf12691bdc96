// @holdfast/queue/blobs: a store of blobs in a folder.
export type { FileBlobsOptions } from "./file-blobs.ts";
export { fileBlobs } from "./file-blobs.ts";
