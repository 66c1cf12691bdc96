// What following a registry takes, and what it shows.
import type { Clock, Duration } from "@holdfast/core";
import type { GpuPool } from "../contract.ts";
import type { ModelRecord, RegistryCallOptions } from "../registry/contract.ts";

export interface FollowRegistryOptions {
  /** Only models of these names. @defaultValue all */
  readonly names?: readonly string[];
  /**
   * Looks at a version before an alias means it here, such as `checkModelFile` of `@holdfast/gpu-pool/file`. A rejection
   * says that it is broken.
   */
  readonly check?: (model: ModelRecord, options: RegistryCallOptions) => void | Promise<void>;
  /** Whether an alias is moved back in the registry when the version it means is broken here. @defaultValue false */
  readonly rollBack?: boolean;
  /** After how long what is broken is tried again, while an alias still means it. @defaultValue "1m" */
  readonly retry?: Duration;
  /** How long a version without a `warmUp` may take until it is loaded. @defaultValue "2m" */
  readonly prepareTimeout?: Duration;
  /** How often what was measured is recorded in the registry, if it differs by 5 % from what is there. @defaultValue "1m" */
  readonly recordEvery?: Duration;
  /** @defaultValue systemClock */
  readonly clock?: Clock;
}

/** The part of a pool that follows a registry. */
export type FollowingPool = Pick<
  GpuPool,
  "acquire" | "addModel" | "removeModel" | "run" | "setAlias" | "snapshot" | "unloadModel"
>;

/** What of a registry a pool has taken up; plain JSON. */
export interface FollowerSnapshot {
  readonly kind: "registry-follower";
  readonly pool: string;
  /** That it knows of. */
  readonly revision: number;
  /** Whether the registry cannot be asked at the moment: then all goes on as it is. */
  readonly isLost: boolean;
  readonly aliases: readonly FollowedAlias[];
  /** Keys of the versions that the pool cannot have, and why. */
  readonly refused: Readonly<Record<string, string>>;
}

export interface FollowedAlias {
  readonly alias: string;
  /** The key of what it means in the registry. */
  readonly wanted: string;
  /** The key of what it means in the pool: the one before, until `wanted` has proved well. */
  readonly serving?: string;
  /** - `preparing`: `wanted` is being checked, loaded and warmed up. `broken`: that has failed, see `failure`. */
  readonly status: "serving" | "preparing" | "broken";
  readonly failure?: string;
}

/** A pool that does what a registry says. */
export interface RegistryFollower extends AsyncDisposable {
  /**
   * Resolves once what the registry holds was taken up: every alias means what it is to mean, or that has proved broken.
   * Rejects with the signal's reason, or with a `ClosedError`.
   */
  ready(options?: RegistryCallOptions): Promise<void>;
  snapshot(): FollowerSnapshot;
  /** Records what was measured, and follows no more. The pool and the registry stay as they are. */
  close(): Promise<void>;
}

/** Published as `holdfast:gpu-pool:rollout` when an alias comes to mean another version in a pool, or fails to. */
export interface RolloutEvent {
  readonly pool: string;
  readonly alias: string;
  /** What it is to mean. */
  readonly model: string;
  readonly change: "preparing" | "serving" | "broken" | "rolled-back";
  /** What it means until then. */
  readonly serving?: string;
  /** Why it is broken. */
  readonly failure?: string;
}
