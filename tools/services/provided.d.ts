// What the integration tests can `inject` from vitest.
import "vitest";

declare module "vitest" {
  export interface ProvidedContext {
    /** Redis shared by all suites; empty when there is none. */
    redisUrl: string;
    /** PostgreSQL shared by all suites; empty when there is none. */
    databaseUrl: string;
    /** Path of a Chromium's program; empty when there is none. */
    chromium: string;
    /** Whether `startRedis` works here. */
    startsRedis: boolean;
    /** Whether `startPostgres` works here. */
    startsPostgres: boolean;
    /** Whether `startPgBouncer` works here, with a PostgreSQL behind it. */
    startsPgBouncer: boolean;
  }
}
