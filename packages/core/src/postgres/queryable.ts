// The smallest view of a PostgreSQL client: a pool or client of pg, postgres.js, PGlite.

/** What a query answers with. */
export interface PgResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/**
 * What takes SQL: a `Pool`, `Client` or pool client of `pg`, a `PGlite`, a transaction of either, or what
 * {@link fromPostgresJs} makes of postgres.js.
 */
export interface PgQueryable {
  /** One statement; `$1`, `$2`, … stand for `values`. */
  query(text: string, values?: unknown[]): Promise<PgResult>;
}

/** A connection of a pool, in one caller's hands. */
export interface PgConnection extends PgQueryable {
  /** Gives it back; with `true` it is closed instead, whatever it is doing. */
  release(destroy?: boolean): void;
  on?(event: "error", listener: (error: Error) => void): unknown;
  off?(event: "error", listener: (error: Error) => void): unknown;
}

/** A pool of `pg`. */
export interface PgPool extends PgQueryable {
  connect(): Promise<PgConnection>;
  /** What tells a pool from a client. */
  readonly totalCount: number;
}

/** What a store is given: a pool is best, since a hung connection of one can be replaced. */
export type PgClient = PgPool | PgQueryable;

export function isPool(client: PgClient): client is PgPool {
  return "connect" in client && "totalCount" in client && typeof client.connect === "function";
}

/** What is used of a `sql` of postgres.js. */
export interface PostgresJs {
  unsafe(text: string, values?: never[]): PromiseLike<readonly object[]>;
}

/** A `sql` of postgres.js that connections can be reserved from. */
export interface PostgresJsPool extends PostgresJs {
  reserve(): Promise<PostgresJs & { release(): void }>;
  readonly options: { readonly max: number };
}

/**
 * A `sql` of postgres.js, or the one of a transaction in `sql.begin`, as this package takes clients. A connection
 * of it cannot be closed alone, so one that hangs stays taken until its server answers or the socket ends.
 *
 * @example
 * ```ts
 * import postgres from "postgres";
 * import { fromPostgresJs } from "@holdfast/core/postgres";
 *
 * const client = fromPostgresJs(postgres("postgres://localhost/app"));
 * typeof client.query; // => "function"
 * ```
 */
export function fromPostgresJs(sql: PostgresJsPool): PgPool;
export function fromPostgresJs(sql: PostgresJs): PgQueryable;
export function fromPostgresJs(sql: PostgresJs | PostgresJsPool): PgClient {
  const queryable = queryableOf(sql);
  if (!("reserve" in sql)) return queryable;
  const connect = async (): Promise<PgConnection> => {
    const reserved = await sql.reserve();
    return { ...queryableOf(reserved), release: () => reserved.release() };
  };
  return { ...queryable, connect, totalCount: sql.options.max };
}

function queryableOf(sql: PostgresJs): PgQueryable {
  return {
    query: async (text, values) => {
      const rows = await sql.unsafe(text, values as never[] | undefined);
      return { rows: [...rows] as Record<string, unknown>[] };
    },
  };
}
