// How large a registry may become: it is read as a whole by those who come to watch.

/** The limits of registries of models. Sizes in characters, but for the entry. */
export const REGISTRY_LIMITS: {
  /** Unless told otherwise. */
  readonly models: number;
  readonly aliases: number;
  readonly entryBytes: number;
  readonly deviceTypes: number;
  readonly metadata: number;
  readonly metadataText: number;
  readonly location: number;
  /** Revisions that a store remembers, unless told otherwise. */
  readonly history: number;
} = {
  models: 1_000,
  aliases: 1_000,
  entryBytes: 16_384,
  deviceTypes: 32,
  metadata: 32,
  metadataText: 1_000,
  location: 2_048,
  history: 1_000,
};
