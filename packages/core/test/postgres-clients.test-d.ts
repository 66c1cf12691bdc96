import type { PGlite, Transaction } from "@electric-sql/pglite";
import type { IdempotencyStore } from "@holdfast/core";
import type {
  PgClient,
  PgListeningClient,
  PgPool,
  PgQueryable,
  PostgresIdempotencyStore,
} from "@holdfast/core/postgres";
import { fromPostgresJs } from "@holdfast/core/postgres";
import type { RedisClient } from "@holdfast/core/redis";
import type { Cluster, Redis } from "ioredis";
import type pg from "pg";
import type postgres from "postgres";
import { describe, expectTypeOf, it } from "vitest";

describe("clients of servers", () => {
  it("fit as they are", () => {
    expectTypeOf<Redis>().toExtend<RedisClient>();
    expectTypeOf<Cluster>().toExtend<RedisClient>();
    expectTypeOf<pg.Pool>().toExtend<PgPool>();
    expectTypeOf<pg.Client>().toExtend<PgQueryable>();
    expectTypeOf<pg.PoolClient>().toExtend<PgQueryable>();
    expectTypeOf<pg.Client>().toExtend<PgListeningClient>();
    expectTypeOf<PGlite>().toExtend<PgClient>();
    expectTypeOf<Transaction>().toExtend<PgQueryable>();
  });

  it("fit after an adapter", () => {
    expectTypeOf((sql: postgres.Sql) => fromPostgresJs(sql)).returns.toExtend<PgPool>();
    expectTypeOf((sql: postgres.TransactionSql) => fromPostgresJs(sql)).returns.toExtend<PgQueryable>();
  });

  it("are what a transactional store takes", () => {
    expectTypeOf<PostgresIdempotencyStore>().toExtend<IdempotencyStore<PgQueryable>>();
    expectTypeOf<pg.PoolClient>().toExtend<
      NonNullable<NonNullable<Parameters<PostgresIdempotencyStore["complete"]>[3]>["tx"]>
    >();
  });
});
