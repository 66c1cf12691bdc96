// @holdfast/queue/blobs: a store of blobs in a folder.
export type { BlobCallOptions, BlobEntry, BlobStore } from "../codec/blob-store.ts";
export type { FileBlobsOptions } from "./file-blobs.ts";
export { fileBlobs } from "./file-blobs.ts";
