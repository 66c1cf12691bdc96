// The pool's defaults, in one place.

/** The defaults of `gpuPool`, in milliseconds where they are times. */
export const GPU_POOL_DEFAULTS: {
  readonly queueLimit: number;
  readonly cancelGraceMs: number;
  readonly startTimeoutMs: number;
  readonly quarantineAfter: number;
  readonly restartBaseMs: number;
  readonly restartCapMs: number;
} = {
  queueLimit: 1_000,
  cancelGraceMs: 500,
  startTimeoutMs: 10_000,
  quarantineAfter: 3,
  restartBaseMs: 100,
  restartCapMs: 30_000,
};
