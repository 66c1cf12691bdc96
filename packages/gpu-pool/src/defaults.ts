// The pool's defaults, in one place.

/** The defaults of `gpuPool`; times in milliseconds. */
export const GPU_POOL_DEFAULTS: {
  readonly queueLimit: number;
  readonly cancelGraceMs: number;
  readonly startTimeoutMs: number;
  readonly loadTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly quarantineAfter: number;
  readonly restartBaseMs: number;
  readonly restartCapMs: number;
  readonly closeWithinMs: number;
  readonly agingMs: number;
  readonly canaryTimeoutMs: number;
  readonly targetUse: number;
  readonly bootMs: number;
  readonly scaleWindowMs: number;
  readonly scaleCooldownMs: number;
  readonly scaleDownAfterMs: number;
  readonly zeroAfterMs: number;
} = {
  queueLimit: 1_000,
  cancelGraceMs: 500,
  startTimeoutMs: 10_000,
  loadTimeoutMs: 60_000,
  heartbeatMs: 2_000,
  quarantineAfter: 3,
  restartBaseMs: 100,
  restartCapMs: 30_000,
  closeWithinMs: 10_000,
  agingMs: 30_000,
  canaryTimeoutMs: 10_000,
  targetUse: 0.75,
  bootMs: 30_000,
  scaleWindowMs: 10_000,
  scaleCooldownMs: 60_000,
  scaleDownAfterMs: 60_000,
  zeroAfterMs: 300_000,
};
