// Back to what an alias meant before.
import type { AliasMove, GuardedCallOptions, ModelRegistry } from "./contract.ts";

/**
 * Makes an alias mean what it meant before, if nobody moves it meanwhile. Twice in a row leads to where it was. `moved:
 * false` also when it never meant anything else, or there is none.
 *
 * @throws what `moveAlias` does: UnknownModelError when that version was removed, ModelNotAvailableError when it is not
 * available any more.
 */
export async function rollBackAlias(
  registry: ModelRegistry,
  alias: string,
  options: GuardedCallOptions = {},
): Promise<AliasMove> {
  const known = await registry.alias(alias, options);
  const { ifRevision, signal } = options;
  const isStale = ifRevision !== undefined && ifRevision !== (known?.revision ?? 0);
  if (known?.previous === undefined || isStale) return { moved: false, alias: known };
  return registry.moveAlias(alias, known.previous, { ifRevision: known.revision, signal });
}
