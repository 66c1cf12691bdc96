// @holdfast/queue/codec: payloads encrypted, compressed, or kept elsewhere.
export type { BlobCallOptions, BlobEntry, BlobStore } from "./blob-store.ts";
export type { CompressedOptions } from "./compressed.ts";
export { compressed } from "./compressed.ts";
export type { EncryptedOptions } from "./encrypted.ts";
export { encrypted } from "./encrypted.ts";
export { PayloadCodecError, PayloadKeyError, PayloadLostError, PayloadTamperedError } from "./errors.ts";
export type { OffloadedOptions } from "./offloaded.ts";
export { offloaded } from "./offloaded.ts";
export type { PayloadCodec, PayloadPlace } from "./payload-codec.ts";
export type { SweepBlobsOptions, SweepReport } from "./sweep-blobs.ts";
export { sweepBlobs } from "./sweep-blobs.ts";
