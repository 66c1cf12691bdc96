// A device: a place where models run, such as a GPU, a thread or a server.

/** A place where models run. */
export interface Device {
  /** Unique within a pool. */
  readonly id: string;
  /** Batches it runs at a time. Integer from 1. */
  readonly capacity: number;
  /**
   * What it has in common with others that are as fast, such as `"H100"` or `"cpu"`: times are measured by type.
   * @defaultValue ""
   */
  readonly type?: string;
  /** Memory for models, in bytes; unlimited when it is not known. */
  readonly memoryBytes?: number;
  /**
   * What a request costs there, in whatever unit, alike for all of a type. A dearer type gets only what would end too late on
   * cheaper ones, going by what waits for them and whether what runs there is late, and in time there. @defaultValue 0
   */
  readonly cost?: number;
}

/**
 * - `starting`: its worker starts, or loads models.
 * - `up`: it takes requests.
 * - `restarting`: its worker has died or was ended, and another is about to start.
 * - `quarantined`: it failed too often in a row; it takes nothing, and is tried again at the longest interval only.
 * - `closed`: its pool is.
 */
export type DeviceStatus = "starting" | "up" | "restarting" | "quarantined" | "closed";
